# SPDX-License-Identifier: MIT
"""The reasons of every decision, a closed set, and the refusal that carries one. Pure."""

TOTP = "totp"
HOTP = "hotp"
REMEMBERED = "remembered"
RECOVERY_CODE = "recovery-code"
EXEMPT = "exempt"
GRACE = "grace"
GRANTED = "granted"
NOT_ENROLLED = "not-enrolled"
WRONG_CODE = "wrong-code"
REUSED_CODE = "reused-code"
CLOCK_SKEW = "clock-skew"
THROTTLED = "throttled"
BAD_INPUT = "bad-input"
SECRET_MISSING = "secret-missing"
SECRET_UNSAFE = "secret-unsafe"
SECRET_MALFORMED = "secret-malformed"
STATE_UNAVAILABLE = "state-unavailable"
INTERNAL_ERROR = "internal-error"


class Failure(Exception):
    """Why a login is not accepted: a reason of the closed set, and a detail for the log."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
