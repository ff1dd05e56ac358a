# SPDX-License-Identifier: MIT
"""Rule 17: a code given a moment ago counts for its time, its user, its key and its place alone."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.commands.commands import (
    clock,
    configured,
    gate,
    new_recovery_codes,
    pam_totp,
    run,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential, enroll
from tests.host.programs import ACCEPTED, ASK, GATE, NO_CODE_NEEDED, RECORDS, VERIFY
from tests.host.system_log import SystemLog

TTL = 600
KEY = {"SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAAfirst"}
OTHER_KEY = {"SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAAother"}


@pytest.fixture(autouse=True)
def remember() -> Iterator[Path]:
    with configured("remember: 10m\n", settled=True) as path:
        yield path


@pytest.fixture
def given(user: User, credential: Credential) -> Credential:
    """A code was given a moment ago, after a key."""
    assert gate(user, variables=KEY).code == ASK
    assert verify(user, credential.fresh_code(), variables=KEY).code == ACCEPTED
    return credential


def stamps_of(user: User) -> Path:
    return RECORDS / "remembered" / str(user.uid)


def age(user: User, seconds: int) -> None:
    """Makes every stamp this much older."""
    lines = [line.split() for line in stamps_of(user).read_text(encoding="ascii").splitlines()]
    text = "".join(f"{name} {int(since) - seconds}\n" for name, since in lines)
    stamps_of(user).write_text(text, encoding="ascii")


def is_asked(user: User, **variables: str) -> bool:
    return gate(user, variables=KEY | variables).code == ASK


def test_second_login_with_the_same_key_needs_no_code_and_the_log_says_why(
    user: User, given: Credential, syslog: SystemLog
) -> None:
    assert not is_asked(user)
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("skip", "remembered")
    assert "detail" not in decision


@pytest.mark.parametrize(
    "changed",
    [
        OTHER_KEY,
        {"SSH_AUTH_INFO_0": ""},
        {"SSH_AUTH_INFO_0": "password"},
        {"PAM_RHOST": "192.0.2.8"},
        {"PAM_RHOST": ""},
        {"PAM_SERVICE": "sudo"},
        {"PAM_SERVICE": "login"},
        {"PAM_RUSER": "somebody"},
    ],
)
def test_anything_else_than_the_same_key_address_and_service_is_asked(
    user: User, given: Credential, changed: dict[str, str]
) -> None:
    assert is_asked(user, **changed)
    assert not is_asked(user)


def test_another_user_with_the_same_key_is_asked(
    user: User, given: Credential, make_user: Callable[..., User]
) -> None:
    other = make_user()
    other.give(secret_of(other), secret_of(user).read_text(encoding="ascii"))
    assert is_asked(other)
    stamps_of(user).rename(stamps_of(other))  # bound to whom it names, not to the file's name
    assert is_asked(other)


@pytest.mark.parametrize("service", ["dovecot", "xrdp-sesman"])
def test_daemon_that_names_a_terminal_is_asked_always(
    user: User, credential: Credential, service: str
) -> None:
    """Its terminal and its session are the same for everybody."""
    daemon = {"PAM_SERVICE": service, "PAM_TTY": service}
    for _ in range(2):
        assert gate(user, variables=daemon).code == ASK
        assert verify(user, credential.fresh_code(), variables=daemon).code == ACCEPTED
    assert gate(user, variables=daemon).code == ASK
    assert not stamps_of(user).exists()


def test_session_without_a_controlling_terminal_is_asked_always(
    user: User, credential: Credential
) -> None:
    code = credential.fresh_code()
    assert in_one_session(user, code, "su pts/7", "su pts/7", WITHOUT_TERMINAL) == ASK


def test_password_over_ssh_is_asked_always(user: User, credential: Credential) -> None:
    for _ in range(2):
        assert gate(user).code == ASK
        assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert gate(user).code == ASK
    assert not stamps_of(user).exists()


def test_password_over_ssh_is_asked_in_the_same_session_too(
    user: User, credential: Credential
) -> None:
    assert in_one_session(user, credential.fresh_code(), "sshd ssh", "sshd ssh") == ASK


# Each runs the shell command that follows in a session of its own.
WITHOUT_TERMINAL = ("setsid", "--wait", "/bin/sh", "-c")
ON_TERMINAL = ("script", "--quiet", "--return", "/dev/null", "--command")


def in_one_session(
    user: User, code: str, first: str, second: str, session: Sequence[str] = ON_TERMINAL
) -> int:
    """The gate's answer to the second login, after a code at the first, each a service
    and its terminal; both from one session, as a terminal's shell begins it."""

    def called(program: str, login: str) -> str:
        service, tty = login.split()
        return f"env -i PAM_USER={user.name} PAM_SERVICE={service} PAM_TTY={tty} {program}"

    script = f"printf {code} | {called(VERIFY, first)} || exit 99; {called(GATE, second)}"
    return run([*session, f"{script}; exit $?"]).code


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("su pts/7", "su pts/7", NO_CODE_NEEDED),
        ("su pts/7", "sudo pts/7", ASK),
        ("sudo pts/7", "sudo-i pts/7", ASK),
        ("su pts/7", "su pts/8", ASK),
    ],
)
def test_same_service_in_the_same_session_on_the_same_terminal_alone(
    user: User, credential: Credential, first: str, second: str, answer: int
) -> None:
    assert in_one_session(user, credential.fresh_code(), first, second) == answer


def test_another_session_is_asked_and_so_is_a_user_without_a_terminal(
    user: User, credential: Credential
) -> None:
    assert in_one_session(user, credential.fresh_code(), "su pts/7", "su pts/7") == NO_CODE_NEEDED
    variables = f"PAM_USER={user.name} PAM_SERVICE=su PAM_TTY=pts/7"
    other = [*ON_TERMINAL, f"env -i {variables} {GATE}; exit $?"]
    assert run(other).code == ASK
    without = [*other[:-1], f"env -i {variables.replace('pts/7', '')} {GATE}; exit $?"]
    assert run(without).code == ASK


@pytest.mark.parametrize(("seconds", "asked"), [(TTL - 5, False), (TTL, True), (TTL + 1, True)])
def test_stamp_holds_for_its_time(user: User, given: Credential, seconds: int, asked: bool) -> None:
    age(user, seconds)
    assert is_asked(user) is asked


def test_stamp_from_the_future_is_asked(user: User, given: Credential) -> None:
    age(user, -60)
    assert is_asked(user)


@pytest.mark.parametrize("shift", ["-1d", "+1d"])
def test_wall_clock_makes_no_stamp_older_or_younger(
    user: User, given: Credential, shift: str
) -> None:
    assert gate(user, clock(shift), variables=KEY).code == NO_CODE_NEEDED
    age(user, TTL)
    assert gate(user, clock(shift), variables=KEY).code == ASK


@pytest.mark.parametrize("change", ["owner", "writable by all", "link", "folder's owner"])
def test_stamp_that_is_not_roots_alone_is_asked(user: User, given: Credential, change: str) -> None:
    path = stamps_of(user)
    if change == "owner":
        os.chown(path, user.uid, -1)
    elif change == "writable by all":
        path.chmod(0o622)
    elif change == "link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")
    else:
        os.chown(path.parent, user.uid, -1)
    try:
        assert is_asked(user)
    finally:
        os.chown(path.parent, 0, -1)
        path.with_name("elsewhere").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\xff\n",
        "{name}",
        "{name} ",
        "{name} x\n",
        "{name} -5\n",
        "{name} +{since}\n",
        "{name} {since}",
        "{name} {since} 1\n",
        "{name}\n{since}\n",
        "{name} {since}\nx\n",
    ],
)
def test_malformed_stamps_are_asked_and_the_next_code_writes_them_anew(
    user: User, given: Credential, text: str
) -> None:
    name, since = stamps_of(user).read_text(encoding="ascii").split()
    content = text.format(name=name, since=since)
    stamps_of(user).write_bytes(content.encode("latin-1"))
    assert is_asked(user)
    assert verify(user, given.fresh_code(), variables=KEY).code == ACCEPTED
    assert not is_asked(user)


def test_stamp_without_a_name_holds_for_nobody(user: User, given: Credential) -> None:
    """Where nothing would tell two people apart, nothing is looked up."""
    _, since = stamps_of(user).read_text(encoding="ascii").split()
    stamps_of(user).write_text(f" {since}\n", encoding="ascii")
    assert gate(user).code == ASK
    assert is_asked(user)


def test_file_and_folder_are_roots_alone(user: User, given: Credential) -> None:
    for path, mode in ((stamps_of(user), 0o600), (stamps_of(user).parent, 0o700)):
        assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (0, mode)
    assert given.secret not in stamps_of(user).read_text(encoding="ascii")


def test_another_secret_is_asked(user: User, given: Credential) -> None:
    enroll(user)
    assert is_asked(user)


def test_secret_that_is_gone_is_asked(user: User, given: Credential) -> None:
    secret_of(user).unlink()
    assert is_asked(user)


def test_incorrect_code_is_not_remembered(user: User, credential: Credential) -> None:
    verify(user, credential.incorrect_code(), variables=KEY)
    assert is_asked(user)


def test_recovery_code_is_remembered_as_a_code_is(user: User, credential: Credential) -> None:
    codes = new_recovery_codes(user)
    assert verify(user, codes[0], variables=KEY).code == ACCEPTED
    assert not is_asked(user)


@pytest.mark.parametrize("verb", [["reset", "--yes"], ["unlock"]])
def test_reset_and_unlock_forget_what_was_remembered(
    user: User, given: Credential, verb: list[str]
) -> None:
    secret = given.secret
    assert pam_totp(*verb, user.name).code == 0
    assert not stamps_of(user).exists()
    enroll(user, secret)
    assert is_asked(user)


def test_off_is_off_at_once_and_shorter_is_shorter(
    user: User, given: Credential, remember: Path
) -> None:
    age(user, 120)
    remember.write_text("remember: 1m\n")
    assert is_asked(user)
    remember.write_text("remember: 10m\n")
    assert not is_asked(user)
    remember.write_text("{}\n")
    assert is_asked(user)


def test_off_writes_nothing(user: User, credential: Credential, remember: Path) -> None:
    remember.write_text("{}\n")
    assert verify(user, credential.fresh_code(), variables=KEY).code == ACCEPTED
    assert not stamps_of(user).exists()


def test_stamps_stay_few(user: User, given: Credential) -> None:
    name, since = stamps_of(user).read_text(encoding="ascii").split()
    lines = [f"{number:064x} {since}\n" for number in range(40)]
    stamps_of(user).write_text("".join([f"{name} {since}\n", *lines]), encoding="ascii")
    other = KEY | {"PAM_RHOST": "192.0.2.99"}
    assert verify(user, given.fresh_code(), variables=other).code == ACCEPTED
    assert len(stamps_of(user).read_text(encoding="ascii").splitlines()) == 32
    assert not is_asked(user, PAM_RHOST="192.0.2.99")


def test_full_run_refuses_no_code_and_remembers_nothing(user: User, credential: Credential) -> None:
    stamps_of(user).parent.mkdir(mode=0o700, exist_ok=True)
    stamps_of(user).mkdir()  # in the place of the file: it cannot be replaced
    try:
        assert verify(user, credential.fresh_code(), variables=KEY).code == ACCEPTED
        assert is_asked(user)
    finally:
        stamps_of(user).rmdir()
