"""The verdict: is this code correct now for one of these credentials? Pure.

The window is one time step to each side of now, unless set otherwise (RFC 6238, section 5.2). An
accepted time step and all earlier ones count as used: `used_steps` maps a credential's identity to
the last one accepted.
"""

from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import DIGITS, matching_steps, step_at
from pam_totp.rules.reasons import BAD_INPUT, CLOCK_SKEW, REUSED_CODE, TOTP, WRONG_CODE, Failure

WINDOW_STEPS = 1
# Searched only after a refusal, so that the log can tell a wrong clock from an incorrect code.
SKEW_STEPS = 20
# 16 characters of 5 bits: 80 bits, beyond guessing at any rate, so no throttle holds them up.
RECOVERY_CHARACTERS = 16
RECOVERY_SYMBOLS = "abcdefghijklmnopqrstuvwxyz234567"


class Verdict:
    """accepted: whether the code is; reason: of the closed set; credential and step: what matched,
    if any; detail: for the log; message: for the user."""

    __slots__ = ("accepted", "credential", "detail", "message", "reason", "step")

    def __init__(
        self,
        accepted: bool,
        reason: str,
        credential: Credential | None = None,
        step: int = 0,
        detail: str = "",
        message: str = "",
    ) -> None:
        self.accepted = accepted
        self.reason = reason
        self.credential = credential
        self.step = step
        self.detail = detail
        self.message = message


def read_code(typed: bytes) -> str:
    """The digits of what was typed: ASCII only, spaces as in "123 456" left out.

    Raises Failure(bad-input). One trailing NUL is what older pam_exec releases append.
    """
    digits = typed.removesuffix(b"\0").replace(b" ", b"")
    if not digits:
        raise Failure(BAD_INPUT, "no code, or no way to ask (sshd: KbdInteractiveAuthentication)")
    if len(typed) > 32 or len(digits) not in DIGITS or not digits.isdigit():
        raise Failure(BAD_INPUT, f"not {DIGITS[0]} to {DIGITS[-1]} ASCII digits")
    return digits.decode("ascii")


def read_recovery_code(typed: bytes) -> str | None:
    """The recovery code that was typed, as it is hashed: 16 letters and digits; None: no such.

    Any case, spaces and dashes anywhere; 0, 1 and 8, which no code has, for o, l and b.
    """
    if len(typed) > 64 or not typed.isascii():
        return None
    code = typed.removesuffix(b"\0").decode("ascii").lower().replace("-", "").replace(" ", "")
    code = code.replace("0", "o").replace("1", "l").replace("8", "b")
    is_one = len(code) == RECOVERY_CHARACTERS and not code.strip(RECOVERY_SYMBOLS)
    return code if is_one else None


def judge(
    credentials: list[Credential],
    code: str,
    now: float,
    used_steps: dict[str, int],
    window_steps: int = WINDOW_STEPS,
) -> Verdict:
    """Whether `code` (ASCII digits) is correct at `now` (Unix seconds) and not yet used."""
    refusal = Verdict(False, WRONG_CODE)
    for credential in credentials:
        current = step_at(now, credential.period)
        used = used_steps.get(credential.identity, -1)
        window = range(current - window_steps, current + window_steps + 1)
        matches = _matches(credential, code, window)
        step = max(matches, default=-1)
        if step > used:
            return Verdict(True, TOTP, credential, step)
        if matches:
            steps = f"time step {step}; last accepted {used}, current {current}"
            refusal = Verdict(False, REUSED_CODE, credential, step, f"code already used ({steps})")
        elif refusal.reason == WRONG_CODE and (offset := nearest_step(credential, code, now)):
            seconds = offset * credential.period
            when = (
                f"be correct in {seconds} s"
                if seconds > 0
                else f"have been correct {-seconds} s ago"
            )
            detail = f"code would {when}; compare the clocks"
            refusal = Verdict(False, CLOCK_SKEW, credential, current + offset, detail)
    return refusal


def nearest_step(
    credential: Credential, code: str, now: float, reach_steps: int = SKEW_STEPS
) -> int:
    """How many time steps from now `code` is correct, the nearest within reach; 0: none."""
    current = step_at(now, credential.period)
    around = range(current - reach_steps, current + reach_steps + 1)
    offsets = [step - current for step in _matches(credential, code, around)]
    return min(offsets, key=abs, default=0)


def _matches(credential: Credential, code: str, steps: range) -> list[int]:
    if len(code) != credential.digits:
        return []
    return matching_steps(credential.secret, code, steps, credential.digits, credential.algorithm)
