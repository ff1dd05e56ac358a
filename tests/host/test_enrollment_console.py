# SPDX-License-Identifier: MIT
"""`enrollment: required`, and `by` a day, at login's console and through su and sudo."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.commands.commands import configured
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.phone import NOT_ENROLLED
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_D, HANG_UP, Conversation, Dialogue
from tests.login.programs import FAKE_CLOCK

Converse = Callable[..., Conversation]
NAME, PASSWORD, CODE = "server login: ", "Password: ", "Verification code: "
BY = "enrollment: {by: 2037-03-01}\n"
SESSION = "a session"
PRELOADED, SHIFT = Path("/etc/ld.so.preload"), Path("/etc/faketimerc")
GUESS_AND_GIVE_UP = [(CODE, "123456"), (CODE, CTRL_D)]


@contextlib.contextmanager
def host_clock_at(moment: str) -> Iterator[None]:
    """Every program that starts meanwhile finds this moment of UTC on the wall clock.

    Through files: no variable of a login reaches the gate. Debian's sshd does not survive it.
    """
    seconds = datetime.fromisoformat(f"{moment}+00:00").timestamp() - time.time()
    SHIFT.write_text(f"{int(seconds):+d}s\n", encoding="ascii")
    PRELOADED.write_text(f"{FAKE_CLOCK}\n", encoding="ascii")
    try:
        yield
    finally:
        PRELOADED.unlink()
        SHIFT.unlink()


@pytest.fixture
def console(user: User, on_terminal: Converse) -> Converse:
    shell = rf"{user.name}@server:~\$"
    session, name_again = [(shell, f"echo {SESSION}"), (shell, "exit")], [(NAME, HANG_UP)]

    def log_in(answers: Dialogue, accepted: bool) -> Conversation:
        typed = [(NAME, user.name), (PASSWORD, user.password), *answers]
        return on_terminal(["login"], [*typed, *(session if accepted else name_again)])

    return log_in


@pytest.fixture
def su(user: User, make_user: Callable[..., User], on_terminal: Converse) -> Converse:
    def become(answers: Dialogue, accepted: bool) -> Conversation:
        argv = ["su", user.name, "-c", f"echo {SESSION}"]
        return on_terminal(argv, [(PASSWORD, user.password), *answers], user=make_user())

    return become


@pytest.fixture
def sudo(user: User, on_terminal: Converse) -> Converse:
    user.may_sudo()

    def become(answers: Dialogue, accepted: bool) -> Conversation:
        password = rf"\[sudo\] password for {user.name}: "
        dialogue = [(password, user.password), *answers]
        return on_terminal(["sudo", "echo", SESSION], dialogue, user=user)

    return become


@pytest.fixture(params=["login", "su", "sudo"])
def log_in(
    request: pytest.FixtureRequest,
    pam_services: PamServices,
    console: Converse,
    su: Converse,
    sudo: Converse,
) -> Converse:
    """`log_in(answers, accepted=True)`: with the user's password, then a session or none."""
    pam_services.add(request.param, shipped_lines("password-then-code"))
    through = {"login": console, "su": su, "sudo": sudo}[request.param]

    def log_in(answers: Dialogue, *, accepted: bool) -> Conversation:
        login = through(answers, accepted)
        assert (SESSION in login.transcript.splitlines()) is accepted
        return login

    return log_in


def decisions(syslog: SystemLog) -> set[tuple[str, str]]:
    return {(each["verdict"], each["reason"]) for each in syslog.decisions()}


def test_required_refuses_with_the_administrators_message_before_the_prompt(
    log_in: Converse, syslog: SystemLog
) -> None:
    message = "Enroll at the help desk, room 5."
    with configured(f"enrollment: required\nmessages:\n  not_enrolled: {message}\n"):
        shown = log_in(GUESS_AND_GIVE_UP, accepted=False).transcript
    assert 0 < shown.index(message) < shown.index(CODE)
    assert decisions(syslog) == {("refuse", "not-enrolled")}


def test_required_asks_the_enrolled(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    with configured("enrollment: required\n"):
        login = log_in([(CODE, enrolled(user).fresh_code())], accepted=True)
    assert NOT_ENROLLED not in login.transcript


@pytest.mark.parametrize(
    ("moment", "days"), [("2037-01-30 00:01:00", 30), ("2037-02-28 23:58:00", 1)]
)
def test_before_the_day_the_login_says_how_many_are_left(
    log_in: Converse, syslog: SystemLog, moment: str, days: int
) -> None:
    with configured(BY), host_clock_at(moment):
        login = log_in([], accepted=True)
    notice = f"A code will be required from 2037-03-01 ({days} days left). "
    notice += "Run: pam-totp enroll"
    assert notice in login.transcript.splitlines()
    assert decisions(syslog) == {("skip", "grace")}


def test_from_the_day_on_the_login_is_refused(log_in: Converse, syslog: SystemLog) -> None:
    with configured(BY), host_clock_at("2037-03-01 00:00:01"):
        login = log_in(GUESS_AND_GIVE_UP, accepted=False)
    assert NOT_ENROLLED in login.transcript.splitlines()
    assert decisions(syslog) == {("refuse", "not-enrolled")}
