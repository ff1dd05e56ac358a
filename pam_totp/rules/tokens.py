# SPDX-License-Identifier: MIT
"""Codes by counter (HOTP, RFC 4226), as hardware tokens make them: which of them are looked at, and
what a login answers. Pure.

A token counts how often it was pressed, so it may be ahead of what is expected here (section 7.2).
A login looks at LOOK_AHEAD codes: what the throttle calls a guess is CODES_A_GUESS of them, as many
as a login looks at of a phone.

- Of the codes that are looked at, the last one that matches MUST count: an earlier one would leave
  the same code good once more.
"""

from pam_totp.rules.credential import Credential, Malformed
from pam_totp.rules.otp import matching_steps
from pam_totp.rules.reasons import HOTP, REUSED_CODE, WRONG_CODE
from pam_totp.rules.verdict import Verdict

LOOK_AHEAD = 12  # a token that was pressed eleven times too often still logs in
CODES_A_GUESS = 3
GUESSES = LOOK_AHEAD // CODES_A_GUESS
# Searched only after a refusal, so that the log can tell what is wrong.
SEARCHED = 100
# Of resynchronising: two codes in a row are no accident anywhere within these (section 7.4).
RESYNC_REACH = 10_000
MAX_COUNTER = (1 << 63) - 1
MAX_OFFSET_STEPS = 14 * 3600  # a clock of another time zone, and codes of one second


def as_token(credential: Credential, kind: str, parameters: dict[str, str]) -> Credential:
    """The credential of a line that says `hotp`, or how far a token's clock is off. Raises
    Malformed."""
    if kind == "hotp":
        counter = _number("counter", parameters.get("counter", ""), 0, MAX_COUNTER)
        return Credential(**vars(credential) | {"counter": counter, "period": 30})
    offset = _number("offset", parameters["offset"], -MAX_OFFSET_STEPS, MAX_OFFSET_STEPS)
    return Credential(**vars(credential) | {"offset": offset})


def _number(name: str, text: str, least: int, most: int) -> int:
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 19 and least <= int(text) <= most:
        return int(text)
    raise Malformed(f"must have {name}= from {least} to {most}")


def by_guesses(credentials: list[Credential]) -> list[Credential]:
    """The credentials in their order, a token once for each guess that all its codes are."""
    times = [1 if each.counter is None else GUESSES for each in credentials]
    return [each for each, count in zip(credentials, times) for _ in range(count)]  # noqa: B905


def expected(token: Credential, accepted: dict[str, int]) -> int:
    """The next counter that a login accepts; `accepted`: the last one of each identity."""
    return max(accepted.get(token.identity, -1) + 1, token.counter or 0)


def accepting(
    compared: list[Credential], code: str, accepted: dict[str, int]
) -> tuple[Credential, int] | None:
    """The token that the code is of, and its counter; None if it is of none. `compared`: some of
    `by_guesses`; each time that a token is there, CODES_A_GUESS more of its codes are looked at."""
    found = None
    for token in {each.identity: each for each in compared if each.counter is not None}.values():
        guesses = sum(each.identity == token.identity for each in compared)
        start = expected(token, accepted)
        window = range(start, start + min(guesses, GUESSES) * CODES_A_GUESS)
        counter = max(matching_steps(token, code, window), default=-1)
        if counter >= 0:
            found = token, counter
    return found


def accepted_verdict(
    token: Credential, counter: int, now: float, used_steps: dict[str, int]
) -> Verdict:
    """The verdict on a code that is recorded as used. Its step is the time, as of other codes; but
    never earlier than one of before, as a phone may have the same secret."""
    step = max(int(now // token.period), used_steps.get(token.identity, -1))
    detail = f"counter {counter}"
    return Verdict(accepted=True, reason=HOTP, credential=token, step=step, detail=detail)


def refused_verdict(
    tokens: list[Credential], code: str, accepted: dict[str, int]
) -> Verdict | None:
    """What is known of a code that is not accepted, None if nothing is."""
    for token in tokens:
        start = expected(token, accepted)
        around = range(max(0, start - SEARCHED), start + SEARCHED + 1)
        found = matching_steps(token, code, around)
        if not found:
            continue
        counter = min(found, key=lambda each: abs(each - start))
        reason, detail = WRONG_CODE, f"code is {counter - start} presses ahead of the expected one"
        if counter < start:
            reason = REUSED_CODE
            detail = f"code already used or skipped (counter {counter}; expected {start})"
        elif counter >= start + LOOK_AHEAD:
            # Root reads the log, and each line of it has the name.
            detail += f", and up to {LOOK_AHEAD - 1} are accepted; run: pam-totp resync --user USER"
        return Verdict(accepted=False, reason=reason, credential=token, detail=detail)
    return None


def successive(credential: Credential, first: str, second: str, among: range) -> int | None:
    """The first counter, or time step, among these whose code is `first` while the next one's is
    `second`; None if there is none."""
    for counter in matching_steps(credential, first, among):
        if matching_steps(credential, second, range(counter + 1, counter + 2)):
            return counter
    return None
