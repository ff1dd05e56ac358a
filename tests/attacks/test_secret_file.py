# SPDX-License-Identifier: MIT
"""Rules 3, 4 and 10: a secret that is missing, out of reach, or something else altogether."""

import dataclasses
import os
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import (
    MAX_SECONDS,
    command,
    failing,
    gate,
    number_of,
    run,
    traced,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, GATE, NO_CODE_NEEDED, REFUSED, VERIFY
from tests.host.system_log import SystemLog

FOLDERS = (".config", ".config/pam-totp")
FILES = (".config/pam-totp/secret", ".config/pam-totp/recovery")
NEVER = "abcd-efgh-ijkl-mnop"  # a recovery code that nobody was given


def closed(path: Path) -> None:
    path.chmod(0)


def loop(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.symlink_to("/nonexistent")


def plain_file(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.touch()


@pytest.mark.parametrize("spoil", [closed, loop, dangling, plain_file])
@pytest.mark.parametrize("name", ["", *FOLDERS, FILES[0]])
def test_secret_that_cannot_be_reached_is_not_no_secret(
    user: User, credential: Credential, name: str, spoil: Callable[[Path], None]
) -> None:
    """Rule 3, CVE-2020-24612 (an SELinux policy let pam_google_authenticator fail open)."""
    spoil(user.home / name)
    try:
        assert gate(user.name) == ASK
        assert verify(user.name, credential.code()) == REFUSED
    finally:
        if not name:
            subprocess.run(["rm", "-rf", str(user.home)], check=True)
            subprocess.run(["rm", "-rf", str(user.home.with_name("away"))], check=True)


@pytest.mark.parametrize(
    "error", ["EACCES", "EIO", "ESTALE", "ELOOP", "ENOTDIR", "ENOMEM", "EMFILE"]
)
def test_look_up_that_fails_is_not_no_secret(
    user: User, credential: Credential, tmp_path: Path, error: str
) -> None:
    """Rule 3, CVE-2020-24612: each open on the way to the secret, and each way to fail."""
    trace = tmp_path / "trace"
    for program in (GATE, VERIFY):
        run(program, user.name, credential.incorrect_code().encode(), through=traced(trace))
        for name in ("/", "home", user.name, ".config", "pam-totp", "secret"):
            number = number_of(trace, "openat", f'"{name}"')
            # Once and from then on: a second look must not make it a proof either.
            for when in (f"{number}", f"{number}+"):
                broken = failing("openat", when, f"error={error}")
                typed = credential.code().encode()
                answer = run(program, user.name, typed, through=broken)
                looked_again = error == "EACCES" and when == f"{number}"
                assert answer.status == ASK or (program == VERIFY and looked_again)


@pytest.mark.parametrize("member", ["listed", "by another name", "not listed"])
def test_member_of_a_group_that_may_write_the_home_does_not_switch_the_code_off(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    syslog: SystemLog,
    member: str,
) -> None:
    """Rule 3: moved away by somebody else is not "not enrolled", although nobody logged in yet."""
    alice, bob = make_user(), make_user()
    enrolled(alice)
    files = [Path("/etc/group"), Path("/etc/passwd")]
    before = [file.read_text() for file in files]
    if member == "listed":
        subprocess.run(["gpasswd", "--add", bob.name, alice.name], check=True)
    elif member == "by another name":
        files[0].write_text(f"{before[0]}colleagues:x:{alice.gid}:{bob.name}\n")
    else:
        subprocess.run(["usermod", "--gid", str(alice.gid), bob.name], check=True)
        bob = dataclasses.replace(bob, gid=alice.gid)
    try:
        assert_refused_to_whom_a_group_may_write(alice, bob, syslog)
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)


def assert_refused_to_whom_a_group_may_write(alice: User, bob: User, syslog: SystemLog) -> None:
    alice.home.chmod(0o770)
    moved = bob.run_as("mv", f"{alice.home}/.config", f"{alice.home}/.old", cwd="/")
    assert moved.returncode == 0, moved.stderr
    assert gate(alice.name) == ASK
    assert verify(alice.name, "123456") == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "secret-unsafe"
    assert f"chmod g-w {alice.home}" in decision["detail"]
    assert command("reset", "--yes", alice.name).returncode == 0


def name_in_access_list(folder: Path, user: User, others: int) -> None:
    """As `setfacl --modify user:NAME:rwx` does."""
    nobody = 0xFFFFFFFF
    owner, named, group, mask, rest = 0x01, 0x02, 0x04, 0x10, 0x20
    entries = [(owner, 7, nobody), (named, 7, user.uid), (group, 0, nobody)]
    entries += [(mask, 7, nobody), (rest, others, nobody)]
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(folder, "system.posix_acl_access", struct.pack("<I", 2) + packed)


def test_user_named_in_an_access_list_of_the_home_does_not_switch_the_code_off(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    """Rule 3: with an access list (acl(5)) the mode of the group is not only the group's."""
    alice, bob = make_user(), make_user()
    enrolled(alice)
    name_in_access_list(alice.home, bob, others=0)
    moved = bob.run_as("mv", f"{alice.home}/.config", f"{alice.home}/.old", cwd="/")
    assert moved.returncode == 0, moved.stderr
    assert gate(alice.name) == ASK
    assert verify(alice.name, "123456") == REFUSED
    assert syslog.decisions()[-1]["reason"] == "secret-unsafe"
    alice.home.chmod(0o700)  # what the log says to do: the mask ends what the list allows
    assert bob.run_as("ls", str(alice.home), cwd="/").returncode != 0


def test_home_that_is_not_there_is_refused_though_nobody_ever_enrolled(user: User) -> None:
    """Rule 3: an unmounted home proves nothing."""
    away = user.home.with_name("unmounted")
    assert gate(user.name) == NO_CODE_NEEDED
    user.home.rename(away)
    try:
        assert gate(user.name) == ASK
    finally:
        away.rename(user.home)


@pytest.fixture
def empty_mount(user: User) -> Iterator[Callable[[], None]]:
    """`empty_mount()` puts an empty file system over the user's home until the test ends."""
    options = f"mode=700,uid={user.uid}"
    command = ["mount", "-t", "tmpfs", "-o", options, "empty", str(user.home)]
    mounted = []

    def mount() -> None:
        subprocess.run(command, check=True)
        mounted.append(user.home)

    yield mount
    for home in mounted:
        subprocess.run(["umount", str(home)], check=True)


@pytest.mark.parametrize("how", ["rm", "moved folder", "empty mount"])
def test_removing_the_secret_does_not_switch_the_code_off(
    user: User,
    credential: Credential,
    syslog: SystemLog,
    empty_mount: Callable[[], None],
    how: str,
) -> None:
    """Rule 4, pam_oath 2.6.14 and google-authenticator: no file meant no second factor."""
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    if how == "rm":
        (user.home / FILES[0]).unlink()
    elif how == "moved folder":
        (user.home / FOLDERS[1]).rename(user.home / "away")
    else:
        empty_mount()
    syslog.clear()
    assert gate(user.name) == ASK
    assert verify(user.name, credential.fresh_code()) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["secret-missing"]
    assert command("reset", "--yes", user.name).returncode == 0
    assert gate(user.name) == NO_CODE_NEEDED, "only root ends it"


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def endless_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


def folder(path: Path) -> None:
    path.mkdir(mode=0o700)


def large_file(path: Path) -> None:
    path.touch(mode=0o600)
    os.truncate(path, 100 << 20)


def link_to_an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


PLANTS = [fifo, endless_device, folder, large_file, link_to_an_endless_device]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("name", FILES)
def test_anything_in_place_of_a_file_is_answered_in_time(
    user: User,
    credential: Credential,
    syslog: SystemLog,
    name: str,
    plant: Callable[[Path], None],
) -> None:
    """Rule 10, CVE-2024-22365 (pam_namespace): opening a user's FIFO blocked the login for good."""
    (user.home / name).unlink(missing_ok=True)
    plant(user.home / name)
    os.chown(user.home / name, user.uid, user.gid, follow_symlinks=False)
    assert gate(user.name, timeout=MAX_SECONDS) == ASK
    assert verify(user.name, NEVER, timeout=MAX_SECONDS) == REFUSED
    reason = "secret-malformed" if plant is large_file else "secret-unsafe"
    assert [each["reason"] for each in syslog.decisions()] == [reason]
    assert verify(user.name, credential.fresh_code()) == (REFUSED if name == FILES[0] else ACCEPTED)
