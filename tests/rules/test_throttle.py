# SPDX-License-Identifier: MIT
"""The throttle as rules: what people meet, and what thirty days of guessing come to (rule 26)."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pam_totp.rules.throttle import (
    BUDGET_TRIES,
    MAX_WAIT_SECONDS,
    Failures,
    Limits,
    clear,
    count_try,
    is_of_an_earlier_boot,
    wait_seconds,
)

DAY = 86400
DAYS = 30
CODES = 10**6  # of six digits
STEPS = 3  # of the window: the present one and one to each side
MAX_CHANCE = 0.01
DEFAULTS = Limits()

times = st.integers(0, 10**9)
failures = st.builds(Failures, in_a_row=st.integers(0, 10**6), last=times, budget_used=times)
limits = st.builds(
    Limits,
    free_tries=st.integers(1, 20),
    first_wait=st.integers(1, 900),
    longest_wait=st.integers(30, 900),
)


def waits_after(tries: int, limit: Limits = DEFAULTS) -> list[float]:
    """How long to wait after each of these incorrect codes, every one typed as soon as allowed."""
    now, past, waits = 1000.0, Failures(), []
    for _ in range(tries):
        _, past = count_try(past, now, limit)
        waits.append(wait_seconds(past, now, limit))
        now += waits[-1]
    return waits


def test_defaults_are_five_free_tries_then_half_a_minute_doubling_to_a_quarter_of_an_hour() -> None:
    assert waits_after(12) == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]


def test_user_who_never_failed_does_not_wait() -> None:
    assert wait_seconds(Failures(), 0.0, DEFAULTS) == 0
    assert wait_seconds(Failures(), 10.0**6, DEFAULTS) == 0


def test_limits_are_those_that_were_configured() -> None:
    assert waits_after(6, Limits(free_tries=2, first_wait=7, longest_wait=30)) == [
        0,
        7,
        14,
        28,
        30,
        30,
    ]


def test_success_clears_the_row() -> None:
    past = Failures()
    for _ in range(9):
        _, past = count_try(past, 1000.0, DEFAULTS)
    assert wait_seconds(past, 1000.0, DEFAULTS) > 0
    cleared = clear(past)
    assert wait_seconds(cleared, 1000.0, DEFAULTS) == 0
    assert cleared.in_a_row == 0


def test_success_does_not_give_a_guesser_the_budget_back() -> None:
    past = Failures()
    for _ in range(BUDGET_TRIES + 1):  # more are never looked at, so never counted
        past = clear(count_try(past, 1000.0, DEFAULTS)[1])
    assert wait_seconds(past, 1000.0, DEFAULTS) == MAX_WAIT_SECONDS


@settings(deadline=None)
@given(failures, times, limits)
def test_wait_is_never_longer_than_the_longest_nor_negative(
    past: Failures, now: int, limit: Limits
) -> None:
    assert 0 <= wait_seconds(past, now, limit) <= limit.longest_wait


@settings(deadline=None)
@given(st.integers(0, 10**6), times, st.integers(0, 400), limits)
def test_wait_is_over_when_it_has_passed(
    in_a_row: int, now: int, budget_tries: int, limit: Limits
) -> None:
    """Whatever happened before now, and although somebody guessed up to the very limit."""
    used = now + min(budget_tries, 301) * limit.longest_wait
    past = Failures(in_a_row=in_a_row, last=now, budget_used=used)
    assert wait_seconds(past, now + wait_seconds(past, now, limit), limit) == 0


@settings(deadline=None)
@given(failures, times, limits)
def test_wait_goes_down_as_time_passes(past: Failures, now: int, limit: Limits) -> None:
    assume(not is_of_an_earlier_boot(past, now, limit))
    assert wait_seconds(past, now + 1, limit) <= wait_seconds(past, now, limit)


@settings(deadline=None)
@given(failures, times, limits)
def test_one_more_try_never_shortens_the_wait(past: Failures, now: int, limit: Limits) -> None:
    before = Failures(
        in_a_row=past.in_a_row, last=min(past.last, now), budget_used=past.budget_used
    )
    _, counted = count_try(before, now, limit)
    assert wait_seconds(counted, now, limit) >= wait_seconds(before, now, limit)


def simulate(owner_logins_a_day: int, typos: int = 0) -> tuple[int, float]:
    """Thirty days of a guesser who knows the password and tries whenever that is allowed.

    The owner logs in so many times a day, each time after `typos` incorrect codes. Returns how
    often the guesser tried and the longest time that the owner was told to wait.
    """
    every = DAY / owner_logins_a_day if owner_logins_a_day else float("inf")
    owner = next_login = every / 2
    now, past, guesses, longest_wait = 0.0, Failures(), 0, 0.0
    while now < DAYS * DAY:
        wait = wait_seconds(past, now, DEFAULTS)
        if now + wait < owner:
            now += wait
            _, past = count_try(past, now, DEFAULTS)
            guesses += 1
            continue
        now = owner
        wait = wait_seconds(past, now, DEFAULTS)
        longest_wait = max(longest_wait, wait)
        # The guesser does best who lets the owner log in: a success ends everybody's wait.
        now += wait
        for _ in range(typos):
            _, past = count_try(past, now, DEFAULTS)
            now += wait_seconds(past, now, DEFAULTS)
        past = clear(past)
        next_login += every
        owner = max(next_login, now)
    return guesses, longest_wait


@pytest.mark.parametrize(
    ("logins_a_day", "typos"), itertools.product([0, 1, 10, 100, 1000], [0, 1])
)
def test_thirty_days_of_guessing_succeed_with_less_than_one_percent(
    logins_a_day: int, typos: int
) -> None:
    """Rule 26. RFC 4226, section 7.3 asks for the arithmetic; google-authenticator's limit of
    three logins in 30 s, by contrast, comes to 259,200 guesses and 54 %."""
    guesses, longest_wait = simulate(logins_a_day, typos)
    assert guesses > 200, "a guesser who hardly guesses proves nothing"
    assert guesses * STEPS / CODES < MAX_CHANCE
    assert longest_wait <= 15 * 60


def test_without_the_budget_the_owners_logins_would_give_guessers_far_too_many_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The simulation sees the difference: growing waits alone do not bound a busy account."""
    monkeypatch.setattr("pam_totp.rules.throttle.BUDGET_TRIES", 10**9)
    guesses, _ = simulate(100)
    assert guesses * STEPS / CODES > MAX_CHANCE


def test_the_bound_is_the_budget_and_one_try_each_quarter_of_an_hour() -> None:
    guesses, _ = simulate(1000)
    assert guesses <= 300 + DAYS * DAY // MAX_WAIT_SECONDS + 1 == 3181


@pytest.mark.parametrize("pending", [1, 2, 3, 8, 300])
def test_codes_that_may_be_of_several_secrets_add_up_to_the_same_guesses(pending: int) -> None:
    """However many are pending at each try, and though each success ends the waits."""
    now, past, compared, end = 1000.0, Failures(), 0, 1000.0 + DAYS * DAY
    while now < end:
        wait = wait_seconds(past, now, DEFAULTS)
        assert wait <= MAX_WAIT_SECONDS
        if wait > 0:
            now += wait
            continue
        secrets, counted = count_try(past, now, DEFAULTS, pending)
        assert 1 <= secrets <= pending
        past = clear(counted)
        compared += secrets
    assert compared <= BUDGET_TRIES + DAYS * DAY / MAX_WAIT_SECONDS + 1
    assert compared * STEPS / CODES < MAX_CHANCE


@settings(deadline=None)
@given(failures, times, limits)
def test_one_secret_may_always_be_compared(past: Failures, now: float, limit: Limits) -> None:
    assert count_try(past, now, limit, 32)[0] >= 1
