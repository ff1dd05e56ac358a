"""Rule 26: a guesser with patience, and the owner who has to wait for one."""

import signal

import pytest

from pam_totp.rules import throttle
from pam_totp.rules.verdict import WINDOW_STEPS
from tests.attacks.programs import (
    REFUSED,
    failing,
    verify,
)
from tests.host.credentials import Credential
from tests.host.system_log import SystemLog

DAYS = 30
DAY = 86400
DIGITS = 6
MAX_PROBABILITY = 0.01


def tries_of_a_patient_guesser(owner_logs_in_every: float) -> int:
    """How many guesses are looked at in 30 days, by the rules of the verifier, clocks included.

    The guesser tries the moment it is possible; the owner's successes clear the wait.
    """
    limits, failures = throttle.Limits(), throttle.Failures()
    now, tries, owner = 1000.0, 0, 1000.0 + owner_logs_in_every
    while now < 1000.0 + DAYS * DAY:
        wait = throttle.wait_seconds(failures, now, limits)
        if wait > 0:
            now += min(wait, max(owner - now, 1e-3)) if owner > now else wait
        else:
            failures = throttle.count_try(failures, now, limits)
            tries += 1
        if now >= owner:
            if throttle.wait_seconds(failures, now, limits) == 0:
                failures = throttle.clear(failures)
            owner = now + owner_logs_in_every
    return tries


@pytest.mark.parametrize(
    "owner_logs_in_every", [60.0, 900.0, 901.0, 3600.0, 8.0 * 3600, 365.0 * DAY]
)
def test_thirty_days_of_guessing_succeed_in_less_than_one_of_a_hundred(
    owner_logs_in_every: float,
) -> None:
    """Rule 26, RFC 4226 section 7.3: every step in the window is one chance a guess."""
    tries = tries_of_a_patient_guesser(owner_logs_in_every)
    chance_of_a_try = (2 * WINDOW_STEPS + 1) / 10**DIGITS
    assert tries <= throttle.BUDGET_TRIES + DAYS * DAY / throttle.MAX_WAIT_SECONDS + 1
    assert 1 - (1 - chance_of_a_try) ** tries < MAX_PROBABILITY


def test_owner_waits_fifteen_minutes_at_most_whatever_a_guesser_does() -> None:
    """Rule 26: nobody needs an administrator to get in again."""
    limits, failures, now = throttle.Limits(), throttle.Failures(), 1000.0
    for _ in range(5000):
        wait = throttle.wait_seconds(failures, now, limits)
        assert wait <= 900
        now += wait
        failures = throttle.count_try(failures, now, limits)
    # Nor where /run outlived a boot, and with it times that are yet to come.
    assert throttle.wait_seconds(throttle.Failures(9, 1e6, 2e6), 10.0, limits) <= 900


def test_killed_verifier_is_no_free_guess(credential: Credential, syslog: SystemLog) -> None:
    """Rule 26: the try counts before anybody looks at the code; here it dies before it logs."""
    user = credential.user.name
    for _ in range(throttle.Limits().free_tries):
        killed = verify(
            user, credential.wrong_code(), through=failing("sendto", 1, "signal=SIGKILL")
        )
        assert killed in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert verify(user, credential.fresh_code()) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["throttled"]
