"""Which parameters of a secret an app ignores, told by a code that is right without them. Pure."""

from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import matching_steps, step_at

# What apps take that know no parameters (Key URI Format).
DIGITS, PERIOD, ALGORITHM = 6, 30, "SHA1"


def ignored_parameters(secret: Credential, code: str, now: float, window_steps: int) -> str:
    """With which of these in place of the secret's own a refused code is right: a clause for the
    log; empty if with none."""
    for digits in {secret.digits, DIGITS} & {len(code)}:
        for period in (secret.period, PERIOD):
            for algorithm in (secret.algorithm, ALGORITHM):
                if (digits, period, algorithm) == (secret.digits, secret.period, secret.algorithm):
                    continue
                now_step = step_at(now, period)
                steps = range(now_step - window_steps, now_step + window_steps + 1)
                if matching_steps(secret.secret, code, steps, digits, algorithm):
                    own = f"{secret.digits} digits, {secret.period} s, {secret.algorithm}"
                    used = f"{digits} digits, {period} s, {algorithm}"
                    return f"the app ignores parameters: it uses {used}; the secret has {own}"
    return ""
