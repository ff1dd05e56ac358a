# SPDX-License-Identifier: MIT
"""Rules 11 and 21: a spoiled configuration loosens nothing; a prompt tells nobody anything."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import command, gate, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, ASK, CONFIGURATION, NO_CODE_NEEDED, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.stack import libpam

SNAPSHOT = STATE / "settings" / "last-good"


@pytest.fixture
def settings_file() -> Iterator[Path]:
    """/etc/pam-totp/config.yaml, gone after the test; no snapshot of it before and after."""
    SNAPSHOT.unlink(missing_ok=True)
    yield CONFIGURATION
    if CONFIGURATION.is_dir():
        CONFIGURATION.rmdir()
    CONFIGURATION.unlink(missing_ok=True)
    SNAPSHOT.unlink(missing_ok=True)


INVALID: dict[str, bytes] = {
    "no YAML": b"store: [",
    "unknown key": b"stored: user\n",
    "key of a later release": b"hotp: []\n",
    "value of a later release": b"store: ldap\n",
    "duplicate key": b"store: system\nstore: user\n",
    "number too large": b"throttle: {longest_wait: 901}\n",
    "number as text": b"throttle: {free_tries: five}\n",
    "octal number": b"throttle: {first_wait: 0x20}\n",
    "list": b"- store\n",
    "tag": b"!!python/object/apply:os.system ['touch /tmp/sprung']\n",
    "character out of range": b'store: "\\UFFFFFFFF"\n',
    "NUL": b"store: user\0\n",
    "not UTF-8": b"store: \xff\xff\n",
    "deep": b"[" * 20000,
    "alias of itself": b"&a {store: *a}\n",
    "empty documents": b"---\n---\n",
}


@pytest.mark.parametrize("content", INVALID.values(), ids=INVALID.keys())
def test_invalid_configuration_leaves_the_last_good_one_in_force(
    user: User,
    credential: Credential,
    settings_file: Path,
    syslog: SystemLog,
    content: bytes,
) -> None:
    """Rule 11, duo_unix failmode=safe: a mistake in a file switched the second factor off."""
    settings_file.write_text("store: system\nthrottle: {free_tries: 1}\n", encoding="ascii")
    assert command("migrate", user.name).returncode == 0
    settings_file.write_bytes(content)
    assert gate(user.name) == ASK, "in force is the store where the secret is"
    assert verify(user.name, credential.incorrect_code()) == REFUSED
    assert verify(user.name, credential.fresh_code()) == REFUSED, "one free try is in force"
    decisions = syslog.decisions()
    assert [each["reason"] for each in decisions] == ["wrong-code", "throttled"]
    assert all(str(settings_file) in each["detail"] for each in decisions)
    assert command("config", "check").returncode == 1
    assert not Path("/tmp/sprung").exists()


EXAMPLE = Path("/usr/share/doc/pam-totp/examples/config.yaml")


@pytest.fixture
def others_folder(user: User) -> Iterator[Path]:
    """A folder of the user's, which root's link leads through."""
    path = Path("/srv/settings")
    path.mkdir()
    os.chown(path, user.uid, user.gid)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("spoil", ["owned by a user", "writable by others", "link through another"])
def test_folder_of_the_settings_that_others_may_write_exempts_nobody(
    user: User, settings_file: Path, others_folder: Path, syslog: SystemLog, spoil: str
) -> None:
    """Rule 11: root owns the example too, and a link to it in place of the settings would ask only
    users who have enrolled."""
    settings_file.write_text("enrollment: required\n", encoding="ascii")
    assert gate(user.name) == ASK
    folder = settings_file.parent
    status = folder.stat()
    try:
        if spoil == "owned by a user":
            os.chown(folder, user.uid, user.gid)
        elif spoil == "writable by others":
            folder.chmod(0o777)
        settings_file.unlink()
        link = EXAMPLE
        if spoil == "link through another":
            link = others_folder / "link"
            link.symlink_to(EXAMPLE)
        settings_file.symlink_to(link)
        assert gate(user.name) == ASK, "the last good settings still apply"
        verify(user.name, "123456")
        unsafe = others_folder if "link" in spoil else folder
        assert str(unsafe) in syslog.decisions()[-1]["detail"]
    finally:
        os.chown(folder, status.st_uid, status.st_gid)
        folder.chmod(status.st_mode & 0o777)


def test_link_that_only_root_can_change_may_lead_to_the_settings(
    user: User, settings_file: Path
) -> None:
    elsewhere = Path("/srv/config.yaml")
    elsewhere.write_text("enrollment: required\n", encoding="ascii")
    settings_file.symlink_to("../../srv/config.yaml")
    try:
        assert gate(user.name) == ASK
    finally:
        elsewhere.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def writable_by_all(path: Path) -> None:
    path.write_text("store: user\n", encoding="ascii")
    path.chmod(0o666)


def of_a_user(path: Path) -> None:
    path.write_text("store: user\n", encoding="ascii")
    os.chown(path, 20000, 20000)


@pytest.mark.parametrize("spoil", [folder, loop, writable_by_all, of_a_user])
def test_configuration_that_cannot_be_trusted_leaves_the_last_good_one_in_force(
    user: User,
    credential: Credential,
    settings_file: Path,
    syslog: SystemLog,
    spoil: Callable[[Path], None],
) -> None:
    """Rule 11, duo_unix failmode."""
    settings_file.write_text("store: system\n", encoding="ascii")
    assert command("migrate", user.name).returncode == 0
    spoil(settings_file)
    assert gate(user.name) == ASK
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    assert all(str(settings_file) in each["detail"] for each in syslog.decisions())


def test_without_any_good_configuration_the_enrolled_are_asked(
    user: User, credential: Credential, settings_file: Path, syslog: SystemLog
) -> None:
    """Rule 11, duo_unix failmode."""
    settings_file.write_bytes(INVALID["no YAML"])
    assert not SNAPSHOT.exists()
    assert gate(user.name) == ASK
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    assert str(settings_file) in syslog.decisions()[0]["detail"]


def transcript(of: Conversation, name: str) -> str:
    """What was seen, without the names."""
    assert of.status == 255
    return re.sub(re.escape(name), "NAME", of.transcript)


def test_who_has_no_password_cannot_tell_who_is_there_or_enrolled(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    ssh: Callable[..., Conversation],
) -> None:
    """Rule 21, google-authenticator#69: the code's prompt told a right password from others."""
    pam_services.add("sshd")
    with_code, without_code = make_user(), make_user()
    enrolled(with_code)
    wrong = [("Password:", "wrong")]
    seen = {
        transcript(ssh(user, wrong), user if isinstance(user, str) else user.name)
        for user in (with_code, without_code, "nobody-at-all")
    }
    assert len(seen) == 1
    assert "Verification code" not in seen.pop()


def test_guesser_sees_the_same_for_every_user(
    user: User, credential: Credential, make_user: Callable[..., User], tmp_path: Path
) -> None:
    """Rule 21, google-authenticator#69: where the code comes first, as after a key."""
    stack = "auth required pam_permit.so\nauth required pam_totp.so\n"
    services = libpam.write_services(tmp_path / "pam", {"console": stack})
    unreadable = make_user()
    (unreadable.home / ".config").touch()
    guesses = ["000000", "abc", "11111111"]
    seen = [
        libpam.authenticate(services, "console", name, guesses)
        for name in (user.name, "nobody-at-all", unreadable.name)
    ]
    assert {each.authenticate for each in seen} == {libpam.PAM_AUTH_ERR}
    assert [each.prompts for each in seen] == [["Verification code: "] * 3] * 3
    assert [each.messages for each in seen] == [[], [], []]
    assert gate(make_user().name) == NO_CODE_NEEDED, "the policy tells who need not be asked"
