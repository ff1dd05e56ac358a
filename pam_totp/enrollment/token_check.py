# SPDX-License-Identifier: MIT
"""What can be said of a code of a token that counts (HOTP), without using it up.

Which counters were accepted is known to root alone (pam_totp.records.user.counters): logins do not
write the secret file, so what its line says may be long ago.
"""

from pam_totp.errors import Error
from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import matching_steps
from pam_totp.rules.reasons import REUSED_CODE, WRONG_CODE
from pam_totp.rules.tokens import (
    LOOK_AHEAD,
    RESYNC_REACH,
    accepting,
    expected,
    refused_verdict,
)

AGAIN = "press the token again, and enter the new code"
RESYNC = "pam-totp resync"


def look(
    compared: list[Credential], code: str, accepted: dict[str, int] | None
) -> tuple[Credential, int] | None:
    """The token that a code is of, and its counter; None if it is of none. With the counters that
    were accepted: only a code that a login would accept; without (None), any that one might.
    `compared`: as of one_try."""
    if accepted is not None:
        return accepting(compared, code, accepted)
    for token in (each for each in compared if each.counter is not None):
        start = expected(token, {})
        found = matching_steps(token, code, range(start, start + RESYNC_REACH))
        if found:
            return token, found[0]
    return None


def was_used(tokens: list[Credential], code: str, accepted: dict[str, int] | None) -> bool:
    """Whether it is known of a code that it was used, or skipped."""
    known = refused_verdict(tokens, code, accepted) if accepted is not None else None
    return known is not None and known.reason == REUSED_CODE


def refuse(
    tokens: list[Credential], code: str, accepted: dict[str, int] | None, *, has_phone: bool
) -> None:
    """Raises Error with what is known of a code of a token that would be refused. Of one that may
    be a phone's code it says nothing."""
    known = refused_verdict(tokens, code, accepted) if accepted is not None else None
    if known is not None:
        detail, _, is_far_ahead = known.detail.partition("; run: ")
        raise Error(f"refused ({known.reason}): {detail}", RESYNC if is_far_ahead else AGAIN)
    if has_phone:
        return
    if accepted is not None:
        raise Error(f"refused ({WRONG_CODE}): no code of the next {LOOK_AHEAD}", RESYNC)
    nearby = f"no code of the next {RESYNC_REACH} after the counter in the secret file"
    raise Error(f"refused ({WRONG_CODE}): {nearby}", AGAIN)
