# SPDX-License-Identifier: MIT
"""`gate look`, asked before the password on a line with `combined`: the gate's answer, no trace."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.commands import pam_totp, tree
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ASK, GATE, LOGIN, NO_CODE_NEEDED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.login.programs import gate, verify

Enroll = Callable[..., Credential]


def look(user: User | str, **options: object) -> int:
    """The exit code of `gate look`, which prints nothing (`run` sees to that)."""
    name = user if isinstance(user, str) else user.name
    return gate(name, arguments=["look"], **options)


@contextmanager
def without_a_trace(syslog: SystemLog) -> Iterator[None]:
    """Nothing is logged and no file of the state is changed while the block runs, but for the
    snapshot of the settings: the first program that needs them makes it."""
    logged, before = syslog.lines(), state()
    yield
    assert (syslog.lines(), state()) == (logged, before)


def state() -> list[dict[str, bytes]]:
    of_users = [STATE / kind for kind in ("enforced", "used", "grants", "secrets")]
    return [tree(folder) for folder in (RECORDS, *of_users)]


def test_who_is_not_enrolled_needs_no_code(user: User, syslog: SystemLog) -> None:
    with without_a_trace(syslog):
        assert look(user) == NO_CODE_NEEDED


def test_who_is_enrolled_is_asked(user: User, enrolled: Enroll, syslog: SystemLog) -> None:
    enrolled(user)
    with without_a_trace(syslog):
        assert look(user) == ASK


def test_the_service_that_re_checks_passwords_needs_no_code(
    user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    enrolled(user)
    with without_a_trace(syslog):
        assert look(user, variables={"PAM_SERVICE": "pam-totp"}) == NO_CODE_NEEDED


def test_an_unknown_user_is_asked(syslog: SystemLog) -> None:
    with without_a_trace(syslog):
        assert look("nobody-of-that-name") == ASK


def test_a_grant_for_once_is_seen_and_not_used_up(
    user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    enrolled(user)
    pam_totp("grant", user.name, "--once")
    with without_a_trace(syslog):
        assert [look(user) for _ in range(3)] == [NO_CODE_NEEDED] * 3
    assert gate(user.name) == NO_CODE_NEEDED
    assert look(user) == gate(user.name) == ASK


def test_a_malformed_grant_is_none_and_left_for_the_gate_to_log(
    user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    enrolled(user)
    pam_totp("grant", user.name)
    (STATE / "grants" / str(user.uid)).write_text("junk\n", encoding="ascii")
    with without_a_trace(syslog):
        assert look(user) == ASK
    assert gate(user.name) == ASK
    assert syslog.wait_for("verdict=ask").fields["reason"] == "state-unavailable"


def test_who_has_to_wait_is_not_told_so_before_the_password(
    user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    for index in range(6):
        assert verify(user.name, credential.incorrect_code(index)) == REFUSED
    told = subprocess.run([GATE], env=LOGIN | {"PAM_USER": user.name}, capture_output=True)
    assert b"Too many incorrect codes" in told.stdout
    with without_a_trace(syslog):
        assert look(user) == ASK


def test_a_home_that_cannot_be_read_is_asked(
    user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    enrolled(user)
    user.home.chmod(0)
    with without_a_trace(syslog):
        assert look(user) == ASK


@pytest.mark.parametrize("arguments", [["Look"], ["look", "look"], ["--look"], [""]])
def test_any_other_argument_changes_nothing(
    user: User, enrolled: Enroll, syslog: SystemLog, arguments: list[str]
) -> None:
    enrolled(user)
    pam_totp("grant", user.name, "--once")
    assert gate(user.name, arguments=arguments) == NO_CODE_NEEDED
    assert gate(user.name) == ASK
    assert Path(STATE / "grants" / str(user.uid)).exists() is False
