# SPDX-License-Identifier: MIT
"""The decision: is a code required at this login, and may users enroll there? Pure.

It is made of facts (pam_totp.access.facts), by the gate and by `pam-totp explain` alike.
"""

from pam_totp.rules.enrollment import BY, DAY_SECONDS, Enrollment
from pam_totp.rules.policy import IF_ENROLLED, NEVER
from pam_totp.rules.reasons import EXEMPT, GRACE, GRANTED, NOT_ENROLLED, REMEMBERED
from pam_totp.rules.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pam_totp.access.facts import Facts

# What is known of a user's secret. MISSING: has logged in with a code, and there is no secret now;
# ELSEWHERE: it is in the store that is not active; UNKNOWN: it cannot be determined.
ENROLLED, UNENROLLED, MISSING = "enrolled", "not enrolled", "missing"
ELSEWHERE, UNKNOWN = "elsewhere", "unknown"
# What follows: the code is asked for; the user may enroll at this very login; nothing is asked.
ASK, ENROLL, LET_THROUGH = "ask", "enroll", "let through"


class Decision(Record):
    """action: ASK, ENROLL or LET_THROUGH; reason: of LET_THROUGH, of the closed set; days: that
    are left to enroll, where the reason is GRACE."""

    action: str
    reason: str = ""
    days: int = 0


def decide(facts: "Facts", enrollment: Enrollment, service: str, now: float) -> Decision:
    """The decision about a login at a service at `now` (Unix time)."""
    code, state = facts.rule.code, facts.state
    if code == NEVER:
        return Decision(action=LET_THROUGH, reason=EXEMPT)
    if state == UNENROLLED and code == IF_ENROLLED:
        return Decision(action=LET_THROUGH, reason=NOT_ENROLLED)
    if facts.grant is not None:
        return Decision(action=LET_THROUGH, reason=GRANTED)
    if state != UNENROLLED:
        if facts.is_remembered:
            return Decision(action=LET_THROUGH, reason=REMEMBERED)
        return Decision(action=ASK)
    if enrollment.mode == BY and now < enrollment.deadline:
        days = -int(-(enrollment.deadline - now) // DAY_SECONDS)
        return Decision(action=LET_THROUGH, reason=GRACE, days=days)
    return Decision(action=ENROLL if enrollment.enrolls_at(service) else ASK)
