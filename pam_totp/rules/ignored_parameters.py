"""Which parameters of a secret an app ignores: a code is correct without them. Pure."""

from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import matching_steps

# What apps use that ignore parameters (Key URI Format).
DIGITS, PERIOD, ALGORITHM = 6, 30, "SHA1"


def ignored_parameters(secret: Credential, code: str, now: float, window_steps: int) -> str:
    """Which of these an app used in place of the secret's own, if a refused code is correct then: a
    clause for people and the log; empty if none."""
    for digits in {secret.digits, DIGITS} & {len(code)}:
        for period in (secret.period, PERIOD):
            for algorithm in (secret.algorithm, ALGORITHM):
                now_step = int(now // period)
                steps = range(now_step - window_steps, now_step + window_steps + 1)
                used = (
                    ("digits", digits, secret.digits),
                    ("period", period, secret.period),
                    ("algorithm", algorithm, secret.algorithm),
                )
                ignored = [f"{name} ({its} for {own})" for name, its, own in used if its != own]
                tried = Credential(**vars(secret) | {"digits": digits, "algorithm": algorithm})
                if ignored and matching_steps(tried, code, steps):
                    return f"the app ignores {', '.join(ignored)}"
    return ""
