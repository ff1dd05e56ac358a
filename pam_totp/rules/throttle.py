# SPDX-License-Identifier: MIT
"""How many incorrect codes, and how long to wait after them (RFC 4226, section 7.3). Pure.

Two bounds apply at once. Waits grow with each incorrect code in a row, and a success ends them.
The budget limits guessers who know the password, try for weeks and profit from the owner's
successes: over `t` seconds it allows BUDGET_TRIES plus one try every `longest_wait` seconds,
whatever succeeds in between. SECURITY.md has the calculation.

Times are seconds of a clock that only goes forward (the kernel's boot time), so that setting a
clock changes no wait.
"""

from pam_totp.rules.record import Record

BUDGET_TRIES = 300
MAX_BUDGET_TRIES = BUDGET_TRIES + 2  # as many as a record says at most
# 15 minutes: the owner can always try again within them; 2,880 tries in 30 days.
MAX_WAIT_SECONDS = 900


class Limits(Record):
    """free_tries: incorrect codes in a row without a wait; first_wait: seconds after the next one,
    doubled by each after it, up to longest_wait."""

    free_tries: int = 5
    first_wait: int = 30
    longest_wait: int = MAX_WAIT_SECONDS


class Failures(Record):
    """in_a_row: incorrect codes since the last success; last: when the latest one was;
    budget_used: until when the budget is used, in seconds of the same clock."""

    in_a_row: int = 0
    last: float = 0.0
    budget_used: float = 0.0


def wait_seconds(failures: Failures, now: float, limits: Limits) -> float:
    """How long until the next try is checked; 0 if it is now."""
    if is_of_an_earlier_boot(failures, now, limits):
        return 0.0
    wait = 0.0
    if failures.in_a_row >= limits.free_tries:
        doublings = min(failures.in_a_row - limits.free_tries, 30)
        wait = min(limits.first_wait << doublings, limits.longest_wait)
    in_a_row = failures.last + wait - now
    budget = failures.budget_used - BUDGET_TRIES * limits.longest_wait - now
    return max(0.0, min(max(in_a_row, budget), limits.longest_wait))


def is_of_an_earlier_boot(failures: Failures, now: float, limits: Limits) -> bool:
    """Whether the record lies in the future of the clock: where /run survives a reboot, as in some
    containers, its times are meaningless."""
    latest = now + MAX_BUDGET_TRIES * limits.longest_wait
    return failures.last > now or failures.budget_used > latest


def count_try(
    failures: Failures, now: float, limits: Limits, secrets: int = 1
) -> tuple[int, Failures]:
    """With how many of a user's `secrets` the next code is compared, and the failures once that try
    is counted, before the code is checked. With each secret it is one guess of the budget. With one
    it may always, so that nobody waits longer for having more."""
    if is_of_an_earlier_boot(failures, now, limits):
        failures = Failures()
    left = failures.budget_used - BUDGET_TRIES * limits.longest_wait - now
    compared = min(secrets, 1 + max(0, int(-left // limits.longest_wait)))
    latest = now + MAX_BUDGET_TRIES * limits.longest_wait
    used = min(max(failures.budget_used, now) + compared * limits.longest_wait, latest)
    counted = Failures(in_a_row=failures.in_a_row + 1, last=now, budget_used=used)
    return compared, counted


def whole_seconds(wait: float) -> int:
    """A wait in whole seconds, rounded up."""
    return -int(-wait // 1)


def clear(failures: Failures) -> Failures:
    """The failures after a success. `failures` are those before its try: it costs no budget."""
    return Failures(budget_used=failures.budget_used)
