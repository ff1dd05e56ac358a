# SPDX-License-Identifier: MIT
"""Which parameters of a secret an app ignores: a code is correct without them. Pure."""

from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import verdict_on

# What apps use that ignore parameters (Key URI Format).
DIGITS, PERIOD, ALGORITHM = 6, 30, "SHA1"


def ignored_parameters(secret: Credential, code: str, now: float, window_steps: int) -> str:
    """Which of these an app used in place of the secret's own, if a refused code is correct then: a
    clause for people and the log; empty if none."""
    if len(code) not in (secret.digits, DIGITS):
        return ""
    own = {"digits": secret.digits, "period": secret.period, "algorithm": secret.algorithm}
    for period in (secret.period, PERIOD):
        for algorithm in (secret.algorithm, ALGORITHM):
            used = {"digits": len(code), "period": period, "algorithm": algorithm}
            ignored = [name for name in own if used[name] != own[name]]
            tried = Credential(**vars(secret) | used)
            if ignored and verdict_on([tried], code, now, {}, window_steps).accepted:
                said = [f"{name} ({used[name]} for {own[name]})" for name in ignored]
                return f"the app ignores {', '.join(said)}"
    return ""
