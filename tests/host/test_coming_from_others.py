# SPDX-License-Identifier: MIT
"""Coming from google-authenticator and pam_oath, with their real modules: before, during and after
the import each user is asked for one code, and nobody for two or none."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.oath import (
    GOOGLE_LINE,
    OATH_USERS,
    OathCredential,
    enroll_with_google,
    google_file,
    scratch_codes,
)
from tests.host.pam_services import ONE_LINE, SERVICES, PamServices, shipped_lines
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.stack.libpam import PAM_SUCCESS, Outcome, authenticate_apart, write_services

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password: ", "Verification code: "
OURS, THEIRS = "ours", "theirs"
BOTH = shipped_lines("with-google-authenticator")
COMMAND = ["import", "google-authenticator"]


@pytest.fixture
def server(pam_services: PamServices, start_sshd: Callable[..., SshServer]) -> SshServer:
    """sshd as its administrator has set it up for google-authenticator."""
    pam_services.add("sshd", [GOOGLE_LINE])
    return start_sshd(shipped_settings("password-then-code"))


@pytest.fixture
def log_in(server: SshServer, ssh: Converse) -> Callable[..., Conversation]:
    def to_it(user: User, *codes: str) -> Conversation:
        dialogue = [(PASSWORD, user.password), *((CODE, code) for code in codes)]
        return ssh(user, dialogue, server=server)

    return to_it


@pytest.fixture
def who_asks(log_in: Converse, syslog: SystemLog) -> Callable[..., list[str]]:
    """`who_asks(user, credential)`: logs in, and tells which modules took the code."""

    def asked(user: User, credential: Credential | None = None) -> list[str]:
        syslog.clear()
        codes = [credential.fresh_code()] if credential else []
        login = log_in(user, *codes)
        assert login.status == 0, login.transcript
        assert len(login.prompts) == 1 + len(codes), login.transcript
        ours = [OURS for each in syslog.decisions() if each["reason"] == "totp"]
        return ours + [THEIRS for _ in syslog.lines("Accepted google_authenticator")]

    return asked


def lines_of_sshd(pam_services: PamServices, *lines: str) -> None:
    """Puts these lines in the place of those of either module."""
    text = (SERVICES / "sshd").read_text(encoding="utf-8")
    kept = [line for line in text.split("\n") if "_authenticator.so" not in line]
    kept = [line for line in kept if "pam_totp.so" not in line]
    at = kept.index("@include common-auth") + 1
    pam_services.write("sshd", "\n".join([*kept[:at], *lines, *kept[at:]]))


def test_before_during_and_after_the_import_each_user_is_asked_once(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    who_asks: Callable[..., list[str]],
    log_in: Converse,
) -> None:
    moved, late, never, new, anew = (make_user() for _ in range(5))
    of_moved, of_late = enroll_with_google(moved), enroll_with_google(late)
    enroll_with_google(anew)
    # Before: their line alone.
    assert who_asks(moved, of_moved) == [THEIRS]
    assert who_asks(never) == []
    # Both lines, and nobody has come yet but one who has enrolled here alone.
    lines_of_sshd(pam_services, *BOTH)
    of_new, of_anew = enrolled(new), enrolled(anew)
    assert who_asks(moved, of_moved) == [THEIRS]
    assert who_asks(late, of_late) == [THEIRS]
    assert who_asks(never) == []
    assert who_asks(new, of_new) == [OURS]
    assert who_asks(anew, of_anew) == [OURS]
    # One has come, and the phone shows the same codes. No used code is good a second time.
    last = of_moved.code_of(of_moved._last_step)
    assert pam_totp(*COMMAND, moved.name, "--apply").code == 0
    wrong = [of_moved.incorrect_code(index) for index in range(2)]
    assert log_in(moved, last, *wrong).status == 255
    assert pam_totp("unlock", moved.name).code == 0
    assert who_asks(moved, of_moved) == [OURS]
    assert who_asks(late, of_late) == [THEIRS]
    assert who_asks(never) == []
    # All have come.
    assert pam_totp(*COMMAND, "--all", "--apply").code == 0
    assert who_asks(late, of_late) == [OURS]
    left = pam_totp(*COMMAND, "--all", "--json")
    outcomes = {row["user"]: row["outcome"] for row in json.loads(left.output)["users"]}
    assert (left.code, left.errors) == (0, "")
    assert outcomes == {
        moved.name: "unchanged",
        late.name: "unchanged",
        anew.name: "enrolled with another secret",
    }
    # After: our line alone.
    lines_of_sshd(pam_services, ONE_LINE)
    came = ((moved, of_moved), (late, of_late), (new, of_new), (anew, of_anew))
    for user, credential in came:
        assert who_asks(user, credential) == [OURS]
    assert who_asks(never) == []


def test_refusal_of_ours_is_not_asked_again_by_theirs(
    user: User, pam_services: PamServices, log_in: Converse, syslog: SystemLog
) -> None:
    credential = enroll_with_google(user)
    lines_of_sshd(pam_services, *BOTH)
    assert pam_totp(*COMMAND, user.name, "--apply").code == 0
    wrong = [credential.incorrect_code(index) for index in range(3)]
    refused = log_in(user, *wrong)
    assert (refused.status, len(refused.prompts)) == (255, 4)
    assert [each["reason"] for each in syslog.decisions()] == ["wrong-code"] * 3
    assert not syslog.lines("pam_google_authenticator")


def test_removed_secret_leads_to_neither_module(
    user: User,
    pam_services: PamServices,
    who_asks: Callable[..., list[str]],
    log_in: Converse,
) -> None:
    """A user who has logged in with a code here is not asked by theirs again."""
    credential = enroll_with_google(user)
    lines_of_sshd(pam_services, *BOTH)
    assert pam_totp(*COMMAND, user.name, "--apply").code == 0
    assert who_asks(user, credential) == [OURS]
    (user.home / ".config" / "pam-totp" / "secret").unlink()
    assert log_in(user, *(credential.incorrect_code(index) for index in range(3))).status == 255


def test_user_whom_ours_asks_for_nothing_is_asked_by_theirs(
    user: User, pam_services: PamServices, who_asks: Callable[..., list[str]]
) -> None:
    """The example says so: the code is asked for where a grant of ours would not."""
    credential = enroll_with_google(user)
    lines_of_sshd(pam_services, *BOTH)
    assert pam_totp(*COMMAND, user.name, "--apply").code == 0
    assert pam_totp("grant", user.name, "--once").code == 0
    assert who_asks(user, credential) == [THEIRS]


def test_enable_changes_nothing_where_both_lines_are(
    user: User, server: SshServer, pam_services: PamServices
) -> None:
    lines_of_sshd(pam_services, *BOTH)
    pam_services.add("su", BOTH)
    before = {name: (SERVICES / name).read_bytes() for name in ("sshd", "su")}
    for name in before:
        pam_totp("enable", name, "--yes", "--force", "--no-trial")
    assert before == {name: (SERVICES / name).read_bytes() for name in before}


SECRETS = ["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU"]
STACKS = [["-t", "-d", "-w", "3"], ["-t", "-D", "-w", "17"], ["-t", "-d", "-w", "3", "-S", "60"]]


def ask(tmp_path: Path, user: User, lines: list[str], code: str) -> Outcome:
    """The code at a stack of these lines alone."""
    folder = write_services(tmp_path / "pam", {"console": "\n".join([*lines, ""])})
    return authenticate_apart(folder, "console", user.name, [code])


def is_accepted(tmp_path: Path, user: User, line: str, code: str) -> bool:
    return ask(tmp_path, user, [line], code).authenticate == PAM_SUCCESS


@pytest.mark.parametrize("flags", STACKS, ids=" ".join)
def test_code_of_oathtool_is_accepted_there_before_and_here_after(
    user: User, tmp_path: Path, flags: list[str]
) -> None:
    credential = enroll_with_google(user, *flags, "-u", "-e", "3")
    period = int(flags[flags.index("-S") + 1]) if "-S" in flags else 30
    step = int(time.time()) // period
    before, after = credential.code_of(step), credential.code_of(step + 1)
    assert is_accepted(tmp_path, user, "auth required pam_google_authenticator.so", before)
    assert pam_totp(*COMMAND, user.name, "--apply").code == 0
    if "-d" in flags:
        assert not is_accepted(tmp_path, user, ONE_LINE, before)
    assert is_accepted(tmp_path, user, ONE_LINE, after)
    assert not is_accepted(tmp_path, user, ONE_LINE, after)


def test_scratch_code_that_was_used_there_is_not_imported(user: User, tmp_path: Path) -> None:
    enroll_with_google(user, "-t", "-d", "-w", "3", "-u", "-e", "3")
    used, *others = scratch_codes(user)
    assert is_accepted(tmp_path, user, "auth required pam_google_authenticator.so", used)
    assert scratch_codes(user) == others
    found = json.loads(pam_totp(*COMMAND, user.name, "--json").output)
    assert found["users"][0]["recovery_codes"] == 2


@pytest.mark.parametrize(
    ("kind", "period", "digits"),
    [("HOTP/T30", 30, 6), ("HOTP/T30/8", 30, 8), ("HOTP/T60/7", 60, 7)],
)
def test_code_of_oathtool_is_accepted_by_pam_oath_before_and_here_after(
    user: User, tmp_path: Path, kind: str, period: int, digits: int
) -> None:
    credential = OathCredential(user, SECRETS[0])
    credential.digits = digits
    OATH_USERS.write_text(f"# users\n{kind} {user.name} - {credential.hexadecimal}\n")
    OATH_USERS.chmod(0o600)
    theirs = f"auth required pam_oath.so usersfile={OATH_USERS} window=3"
    step = int(time.time()) // period
    before, after = credential.code_of(step), credential.code_of(step + 1)
    try:
        assert is_accepted(tmp_path, user, theirs, before)
        assert pam_totp("import", "oath", str(OATH_USERS), "--apply").code == 0
        assert not is_accepted(tmp_path, user, ONE_LINE, before)
        assert is_accepted(tmp_path, user, ONE_LINE, after)
    finally:
        OATH_USERS.unlink()


def test_the_same_two_lines_ask_users_of_pam_oath_once(
    make_user: Callable[..., User], tmp_path: Path
) -> None:
    moved, late, unknown = (make_user() for _ in range(3))
    credentials = [
        OathCredential(user, secret) for user, secret in zip((moved, late), SECRETS, strict=True)
    ]
    lines = [f"HOTP/T30 {each.user.name} - {each.hexadecimal}\n" for each in credentials]
    OATH_USERS.write_text(lines[0])
    OATH_USERS.chmod(0o600)
    both = ["auth required pam_permit.so", BOTH[0]]  # as after the password
    both.append(f"auth required pam_oath.so usersfile={OATH_USERS} window=3")
    try:
        assert pam_totp("import", "oath", str(OATH_USERS), "--apply").code == 0
        OATH_USERS.write_text("".join(lines))
        for each in credentials:
            asked = ask(tmp_path, each.user, both, each.fresh_code())
            assert (asked.authenticate, len(asked.prompts)) == (PAM_SUCCESS, 1)
            assert (asked.prompts == [CODE]) == (each.user is moved)
        refused = ask(tmp_path, unknown, both, "000000")
        assert refused.authenticate != PAM_SUCCESS
        for_some = "[success=ok user_unknown=ignore default=die]"
        both[-1] = both[-1].replace("required", for_some)
        passed = ask(tmp_path, unknown, both, "000000")
        assert (passed.authenticate, passed.prompts) == (PAM_SUCCESS, [])
    finally:
        OATH_USERS.unlink()


def test_counter_of_pam_oath_is_that_of_the_last_code_and_of_google_that_of_the_next(
    user: User, tmp_path: Path
) -> None:
    """By which the next code is known: the line of a secret names it."""
    credential = OathCredential(user, SECRETS[0])
    OATH_USERS.write_text(f"HOTP {user.name} - {credential.hexadecimal}\n")
    OATH_USERS.chmod(0o600)
    theirs = f"auth required pam_oath.so usersfile={OATH_USERS} window=5"
    try:
        assert is_accepted(tmp_path, user, theirs, credential.code_of(3))
        found = json.loads(pam_totp("import", "oath", str(OATH_USERS), "--json").output)
    finally:
        OATH_USERS.unlink()
    assert found["users"][0]["credentials"][0]["counter"] == 4
    google = enroll_with_google(user, "-c", "-u", "-w", "5")
    code = google.code_of(3)
    assert is_accepted(tmp_path, user, "auth required pam_google_authenticator.so", code)
    assert '" HOTP_COUNTER 4' in google_file(user).read_text()
    found = json.loads(pam_totp(*COMMAND, user.name, "--json").output)
    assert found["users"][0]["credentials"][0]["counter"] == 4


def test_type_that_pam_oath_refuses_is_a_fault_here(user: User, tmp_path: Path) -> None:
    credential = OathCredential(user, SECRETS[0])
    theirs = f"auth required pam_oath.so usersfile={OATH_USERS} window=5"
    OATH_USERS.write_text(f"HOTP/6 {user.name} - {credential.hexadecimal}\n")
    OATH_USERS.chmod(0o600)
    try:
        assert not is_accepted(tmp_path, user, theirs, credential.code_of(0))
        answer = pam_totp("import", "oath", str(OATH_USERS))
        assert answer.code == 1 and "pam_oath knows no such type" in answer.errors
    finally:
        OATH_USERS.unlink()
