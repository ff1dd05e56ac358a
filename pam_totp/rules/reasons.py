# SPDX-License-Identifier: MIT
"""The reasons of every decision, a closed set, and the refusal that carries one. Pure."""

TOTP, HOTP = "totp", "hotp"
REMEMBERED = "remembered"
RECOVERY_CODE = "recovery-code"
OUTAGE_CODE = "outage-code"
SENT_CODE = "sent-code"
SEND_FAILED = "send-failed"
SEND_LIMIT = "send-limit"
EXEMPT = "exempt"
GRACE = "grace"
GRANTED = "granted"
NOT_ENROLLED = "not-enrolled"
SECURITY_KEY, FINGERPRINT = BY_OTHERS = ("security-key", "fingerprint")  # of other modules
WRONG_CODE = "wrong-code"
REUSED_CODE = "reused-code"
CLOCK_SKEW = "clock-skew"
THROTTLED = "throttled"
HOST_THROTTLED = "host-throttled"
HOST_REFUSED = "host-refused"
STORE_PROMOTED = "store-promoted"
STORE_UNAVAILABLE = "store-unavailable"
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
