# SPDX-License-Identifier: MIT
"""Finding a token's counter, or how far its clock is off, by two codes in a row (RFC 4226,
section 7.4).

- Nothing MUST move backwards: of a counter only later ones are looked at, and of a clock only codes
  later than those by which it was found before.
"""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from pam_totp.enrollment.terminal import ask, describe_seconds, say
from pam_totp.errors import Error
from pam_totp.records.user.devices import Device
from pam_totp.rules.credential import Credential
from pam_totp.rules.reasons import Failure
from pam_totp.rules.tokens import MAX_COUNTER, RESYNC_REACH, successive
from pam_totp.rules.typed_code import read_code

Found = TypeVar("Found")
TRIES = 3
# A clock that shows another time zone is off by up to 14 hours.
SKEW_SECONDS = 14 * 3600
AGAIN = "press the token, and enter the next two codes that it shows"
FOR_ROOT = "ask root to run this, who can see which codes were used"
_NOTHING = "; nothing was changed"
_USED = f"these codes are no later than codes that were used before{_NOTHING}"


def find_counter(token: Credential, start: int, *, is_known: bool) -> int:
    """Asks for two codes; the counter of the second. `start`: the first counter that can be meant;
    is_known: whether all before it are known to be used. Raises Error."""
    reach = range(start, min(start + RESYNC_REACH, MAX_COUNTER - 1))
    earlier = range(max(0, start - RESYNC_REACH), start)

    def look(first: str, second: str) -> int:
        counter = successive(token, first, second, reach)
        if counter is not None:
            return counter + 1
        if successive(token, first, second, earlier) is not None:
            raise Error(_USED, AGAIN)
        what = f"these are no two codes in a row within {RESYNC_REACH} presses of counter {start}"
        raise Error(f"{what}{_NOTHING}", AGAIN if is_known else FOR_ROOT)

    return _until_found(token, look)


def find_offset(device: Device, used_step: int) -> tuple[int, int]:
    """Asks for two codes; by how many time steps the token's clock is ahead, and the step of the
    second code. `used_step`: the last one that was accepted. Raises Error."""
    token = device.credential
    reach_steps = SKEW_SECONDS // token.period

    def look(first: str, second: str) -> tuple[int, int]:
        now = int(time.time() // token.period)
        around = range(max(0, now - reach_steps), now + reach_steps + 1)
        step = successive(token, first, second, around)
        if step is None:
            most = describe_seconds(SKEW_SECONDS)
            what = f"these are no two codes in a row of a clock that is off by up to {most}"
            raise Error(f"{what}{_NOTHING}", AGAIN)
        if step <= max(used_step, device.resynced):
            raise Error(_USED, AGAIN)
        return step + 1 - now, step + 1

    return _until_found(token, look)


def _until_found(token: Credential, look: Callable[[str, str], Found]) -> Found:
    """What `look` finds by two codes; a person may try again. Raises Error."""
    for left in reversed(range(TRIES if sys.stdin.isatty() else 1)):
        first = _ask_code(token, "Code of the token: ")
        second = _ask_code(token, "The next code of the token: ")
        try:
            if first == second:
                raise Error(f"the two codes are the same{_NOTHING}", AGAIN)
            return look(first, second)
        except Error as fault:
            if not left:
                raise
            said = fault.message.removesuffix(_NOTHING)
            say(f"{said[0].upper()}{said[1:]}. Try again, or press Ctrl-C to cancel.")
    raise AssertionError("one try is always made")


def asked(token: Credential, prompt: str, more: str = "") -> str:
    """A code that the token may have made; empty, once the person was told, for anything else."""
    try:
        code = read_code(ask(prompt).encode("utf-8", "replace"))
    except Failure:
        code = ""
    if len(code) == token.digits:
        return code
    say(f"A code of this token has {token.digits} digits{more}.")
    return ""


def _ask_code(token: Credential, prompt: str) -> str:
    for _ in range(TRIES):
        code = asked(token, prompt)
        if code:
            return code
    raise Error(f"that is no code{_NOTHING}", AGAIN)
