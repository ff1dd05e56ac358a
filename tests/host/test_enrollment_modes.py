# SPDX-License-Identifier: MIT
"""`enrollment: required`, and `by` a day: what users see over real ssh, and what is logged."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.commands.commands import configured, gate, pam_totp, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.phone import NOT_ENROLLED
from tests.host.programs import ASK, NO_CODE_NEEDED, REFUSED
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
PASSWORD, CODE = "Password: ", "Verification code: "
BY = "enrollment: {by: 2037-03-01}\n"


def today() -> date:
    return datetime.now(UTC).date()


def at(moment: str) -> list[str]:
    """The command through which a program finds this moment of UTC on the wall clock, whatever the
    host's time zone."""
    given = ["env", "TZ=West+11", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    seconds = datetime.fromisoformat(f"{moment}+00:00").timestamp() - time.time()
    return [*given, "faketime", "-f", f"{int(seconds):+d}s"]


def test_required_refuses_with_the_administrators_message_before_the_prompt(
    user: User, log_in: Converse, syslog: SystemLog
) -> None:
    message = "Enroll at the help desk, room 5."
    with configured(f"enrollment: required\nmessages:\n  not_enrolled: {message}\n"):
        refused = log_in(user, [(PASSWORD, user.password), *[(CODE, "123456")] * 3])
    assert refused.status != 0
    shown = refused.transcript
    assert 0 < shown.index(message) < shown.index(CODE)
    assert [(each["verdict"], each["reason"]) for each in syslog.decisions()] == [
        ("refuse", "not-enrolled")
    ]


def test_required_asks_the_enrolled_and_wins_over_nothing_that_allows_a_login(
    user: User, enrolled: Enroll, log_in: Converse
) -> None:
    with configured("enrollment: required\n"):
        assert pam_totp("grant", user.name, "--for", "5m", "--once").code == 0
        assert log_in(user, [(PASSWORD, user.password)]).status == 0
        code = enrolled(user).fresh_code()
        enrolled_login = log_in(user, [(PASSWORD, user.password), (CODE, code)])
    assert enrolled_login.status == 0
    assert NOT_ENROLLED not in enrolled_login.transcript


@pytest.mark.parametrize("days", [2, 30])
def test_before_the_day_the_login_says_how_many_are_left(
    user: User, log_in: Converse, syslog: SystemLog, days: int
) -> None:
    began = today()
    day = began + timedelta(days=days)
    with configured(f"enrollment: {{by: {day}}}\n"):
        login = log_in(user, [(PASSWORD, user.password)])
    assert login.status == 0
    left = {(day - each).days for each in (began, today())}  # midnight may have passed
    notices = [
        f"A code will be required from {day} ({n} days left). Run: pam-totp enroll" for n in left
    ]
    assert any(notice in login.transcript for notice in notices)
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("skip", "grace")


def test_from_the_day_on_the_login_is_refused(
    user: User, log_in: Converse, syslog: SystemLog
) -> None:
    with configured(f"enrollment: {{by: {today()}}}\n"):
        refused = log_in(user, [(PASSWORD, user.password), *[(CODE, "123456")] * 3])
    assert refused.status != 0
    assert NOT_ENROLLED in refused.transcript
    assert {decision["reason"] for decision in syslog.decisions()} == {"not-enrolled"}


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        ("2037-01-30 00:01:00", 30),
        ("2037-02-27 23:58:00", 2),
        ("2037-02-28 00:01:00", 1),
        ("2037-02-28 23:58:00", 1),
        ("2037-03-01 00:00:01", 0),
        ("2037-03-02 12:00:00", 0),
    ],
)
def test_days_are_those_of_utc_and_the_last_one_counts(user: User, moment: str, days: int) -> None:
    with configured(BY):
        answer = gate(user, at(moment))
    if days:
        notice = f"A code will be required from 2037-03-01 ({days} days left). "
        notice += "Run: pam-totp enroll\n"
        assert (answer.code, answer.output) == (NO_CODE_NEEDED, notice)
    else:
        assert (answer.code, answer.output) == (ASK, f"{NOT_ENROLLED}\n")


def test_user_who_has_enrolled_is_asked_before_the_day_and_told_nothing(
    user: User, enrolled: Enroll
) -> None:
    enrolled(user)
    with configured(BY):
        answer = gate(user)
        assert (answer.code, answer.output) == (ASK, "")


def test_verifier_exempts_nobody_who_has_not_enrolled_before_the_day(
    user: User, syslog: SystemLog
) -> None:
    with configured(BY):
        assert verify(user, "123456").code == REFUSED
    assert [decision["reason"] for decision in syslog.decisions()] == ["not-enrolled"]
