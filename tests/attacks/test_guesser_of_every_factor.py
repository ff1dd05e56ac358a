# SPDX-License-Identifier: MIT
"""Rule 26 for a user with every factor at once: a guesser with the password, for thirty days.

The verifier itself judges each guess, in this process and on a clock of the test, so that what is
compared is counted, and not what the arithmetic says of it.
"""

import itertools
import pwd
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from pam_totp.login import check_here, check_sent_code, verify
from pam_totp.records.config.settings import Settings, load
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import attempts, recovery, remembered, sent
from pam_totp.review.guessing import GUESSING_SECONDS, MAX_CHANCE, chance_of_a_guesser
from pam_totp.rules import otp
from pam_totp.rules.credential import Credential as Known
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import BUDGET_TRIES, MAX_WAIT_SECONDS, wait_seconds
from pam_totp.rules.verdict import Verdict
from pam_totp.sending import limits
from tests.commands.commands import configured, recovery_file
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.sending.outbox import NUMBER, forget_limits, give_contact

MAX_TRIES = BUDGET_TRIES + GUESSING_SECONDS // MAX_WAIT_SECONDS + 1
RECOVERY = [f"abcd-efgh-ijkl-mn{letter}{letter}" for letter in "abcdefghij"]
SCRATCH = [f"1234567{digit}" for digit in range(10)]
UNIX = 1_800_000_000.0  # when it begins
# The logins that go on at once; each may have a code of its own.
LOGINS = [
    (service, rhost)
    for service in ("sshd", "sudo", "login")
    for rhost in ("192.0.2.7", "192.0.2.8", "2001:db8::1")
]
SETTINGS = "remember: 1h\nrules: [{code: required, methods: [totp, sms, mail]}]\n"


class Guesser:
    """chance: the sum of those of all guesses that were compared; tries, messages: how many."""

    def __init__(self, user: User, credential: Credential, settings: Settings) -> None:
        self.account, self.credential = pwd.getpwnam(user.name), credential
        self.settings = settings
        self.now, self.chance, self.tries, self.messages = 1000.0, 0.0, 0, 0
        self.requests = [Request(user=user.name, service=each[0], rhost=each[1]) for each in LOGINS]
        self._digits = itertools.cycle([6, 8])

    def wait(self) -> float:
        _, failures = attempts.look(self.account.pw_uid)
        return wait_seconds(failures, self.now, self.settings.limits)

    def ask_for_codes(self) -> None:
        """For every login, until no more may be sent."""
        with suppress(Failure):
            for number, request in enumerate(itertools.cycle(self.requests)):
                limits.count(self.account.pw_uid, self.settings)
                kind = ("sms", "mail")[number % 2]
                login = sent.login_of(request, self.account)
                sent.keep(self.account.pw_uid, login, kind, "87654321")
                self.messages += 1

    def guess(self, request: Request) -> None:
        """One that is not correct, whatever is."""
        now, before, digits = UNIX + self.now, self.chance, next(self._digits)
        near = [self.credential.code_of(int(now) // 30 + each) for each in (-2, -1, 0, 1, 2)]
        typed = next(each for each in ("000000", "000001", *near) if each not in near)
        typed = typed if digits == 6 else "00000000"
        with suppress(Failure):
            answer = typed.encode()
            assert not verify.check_answer(
                request, self.account, answer, self.settings, now
            ).accepted
        self.tries += self.chance > before
        assert self.tries <= MAX_TRIES, "more than the budget of all factors together"

    def owner_logs_in(self) -> None:
        """With a code of the app, where none has to wait."""
        if self.wait() == 0:
            now = UNIX + self.now
            code = self.credential.code_of(int(now) // 30).encode()
            request = self.requests[0]
            assert verify.check_answer(request, self.account, code, self.settings, now).accepted
            verify.record_login(request, self.account, self.settings)


@pytest.fixture
def guesser(
    user: User, credential: Credential, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Guesser]:
    give_contact(user, ("sms", NUMBER), ("mail", f"{user.name}@example.org"))
    user.give(user.home / ".config/pam-totp/recovery", recovery_file([*RECOVERY, *SCRATCH]))
    forget_limits()
    with configured(SETTINGS):
        guesser = Guesser(user, credential, load(keeps=False))
        monkeypatch.setattr(time, "clock_gettime", lambda clock: guesser.now)
        count_chances(guesser, monkeypatch)
        yield guesser
    forget_limits()


def count_chances(guesser: Guesser, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each place where what was typed is compared with something secret."""
    verdict_on, is_code, read = (
        otp.verdict_on,
        sent.Sent.is_code,
        recovery.read,
    )

    def count_app(credentials: list[Known], code: str, *others: Any) -> Verdict:
        same = [each for each in credentials if each.digits == len(code)]
        guesser.chance += len(same) * (2 * guesser.settings.window_steps + 1) / 10 ** len(code)
        return verdict_on(credentials, code, *others)

    def count_sent(of_login: sent.Sent, typed: str) -> bool:
        guesser.chance += 1 / 10**sent.DIGITS
        return is_code(of_login, typed)

    def count_scratch(secret_dir: SecretDir) -> tuple[bytes, list[str]] | None:
        guesser.chance += len(SCRATCH) / 10**8
        return read(secret_dir)

    monkeypatch.setattr(check_here, "verdict_on", count_app)
    monkeypatch.setattr(sent.Sent, "is_code", count_sent)
    monkeypatch.setattr(recovery, "read", count_scratch)


def guess_for_thirty_days(guesser: Guesser, owner_logs_in_every: float) -> None:
    end, owner = guesser.now + GUESSING_SECONDS, guesser.now + owner_logs_in_every
    logins = itertools.cycle(guesser.requests)
    while guesser.now < end:
        wait = guesser.wait()
        if guesser.now >= owner:
            guesser.owner_logs_in()
            owner += owner_logs_in_every
        elif wait > 0:
            guesser.now = min(guesser.now + wait, owner)
        else:
            guesser.ask_for_codes()
            guesser.guess(next(logins))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("owner_logs_in_every", [3600.0, 8.0 * 3600])
def test_guesses_at_all_factors_together_succeed_in_less_than_one_of_a_hundred(
    guesser: Guesser, owner_logs_in_every: float
) -> None:
    guess_for_thirty_days(guesser, owner_logs_in_every)
    settings = guesser.settings
    hourly, daily = (int(settings.values["send.user_limit"]) * each for each in (1, 3))
    assert daily * 29 <= guesser.messages <= daily * 31 + hourly, "as often as the limits allow"
    assert guesser.tries > 0.9 * MAX_TRIES, "as often as the throttle allows"
    assert guesser.chance < MAX_CHANCE
    longest = settings.limits.longest_wait
    assert guesser.chance <= chance_of_a_guesser(settings.window_steps, 6, longest, is_sent=True)
    for request in guesser.requests:
        assert not remembered.holds(request, guesser.account, settings)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("module", [check_here, check_sent_code], ids=["an app", "no app"])
def test_a_factor_whose_guesses_were_not_counted_would_be_seen(
    user: User, guesser: Guesser, monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    """Of the two places that count, the second is for users who have no app."""

    def count(attempts: attempts.Attempts, settings: Settings, secrets: int = 1) -> int:
        return secrets

    if module is check_sent_code:
        (user.home / ".config/pam-totp/secret").unlink()
    monkeypatch.setattr(module, "count", count)
    with pytest.raises(AssertionError, match="budget of all factors together"):
        guess_for_thirty_days(guesser, 60.0 * GUESSING_SECONDS)
