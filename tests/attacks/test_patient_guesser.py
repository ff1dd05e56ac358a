# SPDX-License-Identifier: MIT
"""Rule 26: a guesser with patience, and the owner who has to wait for one."""

import signal
from pathlib import Path

import pyotp
import pytest

from pam_totp.login.check_recovery_code import MAX_SCRATCH_CODES
from pam_totp.review.guessing import chance_of_a_guesser
from pam_totp.rules import throttle
from pam_totp.rules.credential import parse_line
from pam_totp.rules.otp import WINDOW_STEPS
from pam_totp.rules.tokens import CODES_A_GUESS, by_guesses
from tests.attacks.programs import failing, verify
from tests.host.credentials import Credential
from tests.host.programs import RECORDS, REFUSED
from tests.host.system_log import SystemLog

DAYS = 30
DAY = 86400
DIGITS = 6
MAX_PROBABILITY = 0.01


def tries_of_a_patient_guesser(
    owner_logs_in_every: float,
    secrets: int = 1,
    unlock_every: float = 365.0 * DAY,
    limits: throttle.Limits | None = None,
) -> int:
    """How many guesses are looked at in 30 days, by the rules of the verifier, clocks included: a
    code that is compared with several secrets is as many.

    The guesser tries the moment it is possible; the owner's successes clear the wait.
    """
    limits, failures = limits or throttle.Limits(), throttle.Failures()
    now, tries, owner, unlock = 1000.0, 0, 1000.0 + owner_logs_in_every, 1000.0 + unlock_every
    while now < 1000.0 + DAYS * DAY:
        wait = throttle.wait_seconds(failures, now, limits)
        if wait > 0:
            event = min(owner, unlock)
            now += min(wait, max(event - now, 1e-3)) if event > now else wait
        else:
            compared, failures = throttle.count_try(failures, now, limits, secrets)
            tries += compared
        if now >= unlock:
            failures, unlock = throttle.clear(failures), now + unlock_every
        if now >= owner:
            if throttle.wait_seconds(failures, now, limits) == 0:
                failures = throttle.clear(failures)
            owner = now + owner_logs_in_every
    return tries


def guesses_of(phones: int, tokens: int) -> int:
    """How often a code is compared for a user with so many devices."""
    uri = f"otpauth://{{}}/x:u?secret={'A' * 32}&counter=0 device"
    lines = [uri.format("totp")] * phones + [uri.format("hotp")] * tokens
    return len(by_guesses([parse_line(line) for line in lines]))


TOKENS = [guesses_of(0, 1), guesses_of(1, 1), guesses_of(16, 16), guesses_of(0, 32)]


@pytest.mark.parametrize("secrets", [1, 2, 32, *TOKENS])
@pytest.mark.parametrize(
    "owner_logs_in_every", [60.0, 900.0, 901.0, 3600.0, 8.0 * 3600, 365.0 * DAY]
)
def test_thirty_days_of_guessing_succeed_in_less_than_one_of_a_hundred(
    owner_logs_in_every: float, secrets: int
) -> None:
    """Rules 26 and 34, RFC 4226 section 7.3: every step in the window is one chance a guess,
    however many phones and tokens are enrolled. Of a token each guess is three codes, too."""
    tries = tries_of_a_patient_guesser(owner_logs_in_every, secrets)
    assert CODES_A_GUESS == 2 * WINDOW_STEPS + 1
    chance_of_a_try = CODES_A_GUESS / 10**DIGITS
    assert tries <= throttle.BUDGET_TRIES + DAYS * DAY / throttle.MAX_WAIT_SECONDS + 1
    assert 1 - (1 - chance_of_a_try) ** tries < MAX_PROBABILITY


def test_administrator_who_ends_the_wait_every_minute_gives_a_guesser_no_more_tries() -> None:
    tries = tries_of_a_patient_guesser(365.0 * DAY, unlock_every=60.0)
    assert tries <= throttle.BUDGET_TRIES + DAYS * DAY / throttle.MAX_WAIT_SECONDS + 1


@pytest.mark.parametrize("secrets", [1, 2, 32, *TOKENS])
@pytest.mark.parametrize(
    ("free_tries", "first_wait", "longest_wait"),
    [(5, 30, 900), (20, 1, 900), (1, 900, 900), (5, 30, 300), (20, 1, 120), (5, 30, 31)],
)
@pytest.mark.parametrize(("window", "digits"), [(1, 6), (5, 6), (0, 6), (5, 8)])
def test_chance_that_config_check_and_doctor_state_is_that_of_the_throttle(
    secrets: int, free_tries: int, first_wait: int, longest_wait: int, window: int, digits: int
) -> None:
    """Rule 26: no settings and no number of devices give a guesser more than what is said."""
    limits = throttle.Limits(
        free_tries=free_tries, first_wait=first_wait, longest_wait=longest_wait
    )
    stated = chance_of_a_guesser(window, digits, longest_wait)
    chance_of_a_try = (2 * window + 1) / 10**digits
    tries = tries_of_a_patient_guesser(60.0, secrets, limits=limits)
    assert 1 - (1 - chance_of_a_try) ** (tries - 1) <= stated
    assert 0.9 * stated <= tries * chance_of_a_try, "it is not overstated either"


@pytest.mark.parametrize(
    ("servers", "digits", "percent"),
    [(1, 6, "0.95"), (10, 6, "9.1"), (50, 6, "38"), (10, 8, "0.095"), (50, 8, "0.48")],
)
def test_chance_with_one_secret_on_many_servers_is_what_the_security_page_says(
    servers: int, digits: int, percent: str
) -> None:
    """Each server counts its own tries."""
    tries = servers * (throttle.BUDGET_TRIES + DAYS * DAY // throttle.MAX_WAIT_SECONDS)
    chance = 100 * (1 - (1 - (2 * WINDOW_STEPS + 1) / 10**digits) ** tries)
    assert f"{chance:.2g}" == percent
    page = Path("SECURITY.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {servers} server")]
    assert f" {percent} % " in row


@pytest.mark.parametrize("devices", [2, 32])
def test_code_that_is_compared_with_several_secrets_counts_as_so_many_guesses(
    credential: Credential, devices: int
) -> None:
    user = credential.user
    secrets = [pyotp.random_base32() for _ in range(devices)]
    uris = [f"otpauth://totp/s:u?secret={secret} device" for secret in secrets]
    user.give(user.home / ".config/pam-totp/secret", "\n".join(uris))
    assert verify(user.name, "00000000") == REFUSED, "of eight digits: no code of theirs"
    record = (RECORDS / str(user.uid)).read_text(encoding="ascii")
    _, last, budget_used = (int(word) for word in record.split("failures ")[1].split())
    assert budget_used - last == devices * throttle.MAX_WAIT_SECONDS


def test_try_of_eight_digits_with_all_scratch_codes_is_no_better_guess_than_one_of_six() -> None:
    """It counts as a try. The devices with codes of six digits are no part of it, and each of eight
    counts as in any try, for a hundredth of the chance: the scratch codes fit in between."""
    of_devices = CODES_A_GUESS / 10**8
    assert MAX_SCRATCH_CODES / 10**8 + of_devices < CODES_A_GUESS / 10**DIGITS


def test_owner_waits_fifteen_minutes_at_most_whatever_a_guesser_does() -> None:
    """Rule 26: nobody needs an administrator to get in again."""
    limits, failures, now = throttle.Limits(), throttle.Failures(), 1000.0
    for _ in range(5000):
        wait = throttle.wait_seconds(failures, now, limits)
        assert wait <= 900
        now += wait
        _, failures = throttle.count_try(failures, now, limits)
    # Nor where /run outlived a boot, and with it times that are yet to come.
    assert (
        throttle.wait_seconds(
            throttle.Failures(in_a_row=9, last=1e6, budget_used=2e6), 10.0, limits
        )
        <= 900
    )


def test_killed_verifier_is_no_free_guess(credential: Credential, syslog: SystemLog) -> None:
    """Rule 26: the try counts before anybody looks at the code; here it dies before it logs."""
    user = credential.user.name
    for _ in range(throttle.Limits().free_tries):
        killed = verify(
            user, credential.incorrect_code(), through=failing("sendto", 1, "signal=SIGKILL")
        )
        assert killed in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert verify(user, credential.fresh_code()) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["throttled"]
