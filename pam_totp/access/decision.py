"""The decision: is a code required at this login, and may users enroll there? Pure.

It is made of facts (pam_totp.access.facts), by the gate and by `pam-totp explain` alike.
"""

from pam_totp.rules.enrollment import BY, DAY_SECONDS, Enrollment
from pam_totp.rules.policy import IF_ENROLLED, NEVER
from pam_totp.rules.reasons import EXEMPT, GRACE, GRANTED, NOT_ENROLLED, REMEMBERED

# What is known of a user's secret. MISSING: has logged in with a code, and there is no secret now;
# ELSEWHERE: it is in the store that is not active; UNKNOWN: it cannot be determined.
ENROLLED, UNENROLLED, MISSING = "enrolled", "not enrolled", "missing"
ELSEWHERE, UNKNOWN = "elsewhere", "unknown"
# What follows: the code is asked for; the user may enroll at this very login; nothing is asked.
ASK, ENROLL, LET_THROUGH = "ask", "enroll", "let through"


class Decision:
    """action: ASK, ENROLL or LET_THROUGH; reason: of LET_THROUGH, of the closed set; days: that
    are left to enroll, where the reason is GRACE."""

    __slots__ = ("action", "days", "reason")

    def __init__(self, action: str, reason: str = "", days: int = 0) -> None:
        self.action = action
        self.reason = reason
        self.days = days


def decide(
    code: str,
    state: str,
    enrollment: Enrollment,
    service: str,
    now: float,
    *,
    is_granted: bool = False,
    is_remembered: bool = False,
) -> Decision:
    """The decision by what the rule asks for (`code`), the state of the user's secret, and whether
    a grant or a remembered code is valid. `now`: Unix time."""
    if code == NEVER:
        return Decision(LET_THROUGH, EXEMPT)
    if state == UNENROLLED and code == IF_ENROLLED:
        return Decision(LET_THROUGH, NOT_ENROLLED)
    if is_granted:
        return Decision(LET_THROUGH, GRANTED)
    if state != UNENROLLED:
        return Decision(LET_THROUGH, REMEMBERED) if is_remembered else Decision(ASK)
    if enrollment.mode == BY and now < enrollment.deadline:
        days = -int(-(enrollment.deadline - now) // DAY_SECONDS)
        return Decision(LET_THROUGH, GRACE, days)
    return Decision(ENROLL if enrollment.enrolls_at(service) else ASK)
