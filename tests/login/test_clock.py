# SPDX-License-Identifier: MIT
"""Codes at other times: the window, a clock set back, the hour that daylight saving repeats."""

from collections.abc import Callable

import pytest

from tests.host.accounts import User
from tests.host.credentials import STEP_SECONDS, Credential
from tests.host.programs import ACCEPTED, REFUSED
from tests.host.system_log import SystemLog
from tests.login.programs import clock_at, verify

NOON = 1_795_435_200
"""23 November 2026, 12:00 UTC."""
# On 25 October 2026 Berlin's clocks go from 3:00 back to 2:00, at 01:00 UTC.
FIRST_HALF_PAST_TWO, SECOND_HALF_PAST_TWO = 1_792_888_200, 1_792_891_800


@pytest.fixture
def credential(user: User, enrolled: Callable[..., Credential]) -> Credential:
    """Always the same: a random one could show a code twice around these moments."""
    return enrolled(user, secret="GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")  # that of RFC 6238


@pytest.mark.parametrize("second", [0, 29])
@pytest.mark.parametrize(
    ("offset", "answer"), [(-2, REFUSED), (-1, 0), (0, 0), (1, 0), (2, REFUSED)]
)
def test_window_is_one_step_to_each_side(
    user: User, credential: Credential, second: int, offset: int, answer: int
) -> None:
    code = credential.code_of(NOON // STEP_SECONDS + offset)
    assert verify(user.name, code, variables=clock_at(NOON + second)) == answer


@pytest.mark.parametrize("now", [FIRST_HALF_PAST_TWO, SECOND_HALF_PAST_TWO])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_hour_that_daylight_saving_repeats_takes_its_own_codes_only(
    user: User, credential: Credential, now: int, zone: str
) -> None:
    clock = clock_at(now, zone)
    for hours in (-1, 1):
        other = credential.code_of((now + hours * 3600) // STEP_SECONDS)
        assert verify(user.name, other, variables=clock) == REFUSED
    assert verify(user.name, credential.code_of(now // STEP_SECONDS), variables=clock) == ACCEPTED


def test_clock_set_back_lets_no_code_in_twice_and_the_log_says_why(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    step = NOON // STEP_SECONDS
    assert verify(user.name, credential.code_of(step), variables=clock_at(NOON)) == ACCEPTED
    for back in (10, 30, 3600):
        now = NOON - back
        syslog.clear()
        code = credential.code_of(now // STEP_SECONDS)
        assert verify(user.name, code, variables=clock_at(now)) == REFUSED
        (decision,) = syslog.decisions()
        assert decision["reason"] == "reused-code"
        assert f"last accepted {step}, current {now // STEP_SECONDS}" in decision["detail"]
    later = credential.code_of(step + 1)
    assert verify(user.name, later, variables=clock_at(NOON + STEP_SECONDS)) == ACCEPTED


@pytest.mark.parametrize("now", [2_147_483_648, 4_294_967_296, 7_258_118_400])
def test_years_2038_2106_and_2200_are_years_like_any_other(
    user: User, credential: Credential, now: int
) -> None:
    code = credential.code_of(now // STEP_SECONDS)
    assert verify(user.name, code, variables=clock_at(now)) == ACCEPTED
    assert verify(user.name, code, variables=clock_at(now)) == REFUSED
