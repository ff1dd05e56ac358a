# SPDX-License-Identifier: MIT
"""A code of a user who has a token that counts (HOTP).

- A counter MUST be recorded as used, on the disk, before its code is accepted.

Runs only for users with such a token.
"""

import posix

from pam_totp.records.user import counters
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import WINDOW_STEPS, verdict_on
from pam_totp.rules.reasons import STATE_UNAVAILABLE, WRONG_CODE, Failure
from pam_totp.rules.tokens import accepted_verdict, accepting, by_guesses, refused_verdict
from pam_totp.rules.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Judge(Protocol):
        """What verdict_on is."""

        def __call__(
            self,
            credentials: list[Credential],
            code: str,
            now: float,
            used_steps: dict[str, int],
            window_steps: int = WINDOW_STEPS,
        ) -> Verdict: ...


def with_tokens(
    attempts: Attempts, credentials: list[Credential]
) -> "tuple[list[Credential], Judge]":
    """The credentials, a token once for each guess that its codes are; and what judges a code by
    some of them, as verdict_on does. To be called before the try is counted. Raises Failure where
    no counter can be read."""
    tokens = [each for each in credentials if each.counter is not None]
    phones = [each for each in credentials if each.counter is None]
    if posix.geteuid() != 0:
        if not phones:
            raise Failure(STATE_UNAVAILABLE, "only root can record a token's counter as used")
        return phones, verdict_on
    accepted = counters.read(attempts.uid)
    steps, failures = attempts.steps, attempts.failures

    def judge(
        credentials: list[Credential],
        code: str,
        now: float,
        used_steps: dict[str, int],
        window_steps: int = WINDOW_STEPS,
    ) -> Verdict:
        found = accepting(credentials, code, accepted)
        if found is not None:
            token, counter = found
            try:
                counters.use_up(attempts.uid, token.identity, counter, accepted)
            except (OSError, Failure) as failure:  # the text of either
                attempts.record(steps, failures)  # the code was correct: it is no incorrect one
                detail = f"cannot record the counter of the token: {failure.args[1]}"
                raise Failure(STATE_UNAVAILABLE, detail) from None
            return accepted_verdict(token, counter, now, used_steps)
        phones = [each for each in credentials if each.counter is None]
        verdict = verdict_on(phones, code, now, used_steps, window_steps)
        known = refused_verdict(tokens, code, accepted) if verdict.reason == WRONG_CODE else None
        return known or verdict

    return by_guesses(credentials), judge
