# SPDX-License-Identifier: MIT
"""One-time passwords: HOTP (RFC 4226) and TOTP (RFC 6238), and whether one is correct now for
one of several credentials. Pure; standard library only.

The time step is the Unix time divided by the period (RFC 6238, section 4.2), and the window is one
step to each side of now, unless set otherwise (section 5.2). An accepted time step and all earlier
ones count as used: `used_steps` maps a credential's identity to the last one accepted.

Runs inside every login: no module that is not compiled into the interpreter is imported here,
hence HMAC (RFC 2104) in five lines over the built-in hashes instead of hashlib and hmac.
"""

from _operator import _compare_digest

from pam_totp.rules.credential import Credential
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.reasons import CLOCK_SKEW, REUSED_CODE, TOTP, WRONG_CODE
from pam_totp.rules.verdict import Verdict

WINDOW_STEPS = 1
# Searched only after a refusal, so that the log can tell a wrong clock from an incorrect code.
SKEW_STEPS = 20

_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def hotp(secret: bytes, counter: int, digits: int, algorithm: str) -> str:
    """The code of `digits` digits for an 8-byte `counter`. RFC 4226, section 5.3."""
    new_hash, block_bytes = ALGORITHMS[algorithm]
    if len(secret) > block_bytes:
        secret = new_hash(secret).digest()
    key = secret.ljust(block_bytes, b"\0")
    inner = new_hash(key.translate(_INNER) + counter.to_bytes(8, "big")).digest()
    digest = new_hash(key.translate(_OUTER) + inner).digest()
    offset = digest[-1] & 0x0F
    truncated = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(truncated % 10**digits).zfill(digits)


def verdict_on(
    credentials: list[Credential],
    code: str,
    now: float,
    used_steps: dict[str, int],
    window_steps: int = WINDOW_STEPS,
) -> Verdict:
    """Whether `code` (ASCII digits) is correct at `now` (Unix seconds) and not yet used."""
    reason, matched, matched_step, detail = WRONG_CODE, None, 0, ""
    for credential in credentials:
        current = int(now // credential.period) + credential.offset
        used = used_steps.get(credential.identity, -1)
        window = range(current - window_steps, current + window_steps + 1)
        step = max(matching_steps(credential, code, window), default=-1)
        if step > used:
            return Verdict(accepted=True, reason=TOTP, credential=credential, step=step)
        if step >= 0:
            reason, matched, matched_step = REUSED_CODE, credential, step
            steps = f"time step {step}; last accepted {used}, current {current}"
            detail = f"code already used ({steps})"
    for credential in credentials:  # a search, so not before all were compared
        if reason == WRONG_CODE and (offset := nearest_step(credential, code, now)):
            reason, matched = CLOCK_SKEW, credential
            matched_step = int(now // credential.period) + credential.offset + offset
            seconds = offset * credential.period
            when = f"be correct in {seconds} s"
            if seconds < 0:
                when = f"have been correct {-seconds} s ago"
            detail = f"code would {when}; compare the clocks"
    return Verdict(
        accepted=False, reason=reason, credential=matched, step=matched_step, detail=detail
    )


def nearest_step(
    credential: Credential, code: str, now: float, reach_steps: int = SKEW_STEPS
) -> int:
    """How many time steps from now `code` is correct, the nearest within reach; 0: none."""
    current = int(now // credential.period) + credential.offset
    around = range(current - reach_steps, current + reach_steps + 1)
    offsets = [step - current for step in matching_steps(credential, code, around)]
    return min(offsets, key=abs, default=0)


def matching_steps(credential: Credential, code: str, steps: range) -> list[int]:
    """Those of `steps` whose code is `code`, compared in constant time, each one looked at."""
    secret, digits, algorithm = credential.secret, credential.digits, credential.algorithm
    return [
        step
        for step in steps
        if step >= 0 and _compare_digest(hotp(secret, step, digits, algorithm), code)
    ]
