"""What follows from a rule: is a code asked for, and what of whoever has none to give? Pure."""

from pam_totp.rules.enrollment import BY, DAY_SECONDS, Enrollment
from pam_totp.rules.policy import IF_ENROLLED, NEVER
from pam_totp.rules.reasons import EXEMPT, GRACE, GRANTED, NOT_ENROLLED


class Decision:
    """needs_code: ask; reason: of the closed set, empty where a code is asked for; enrolls: the
    user may enroll at this very login; days: that are left to enroll, where reason is GRACE."""

    __slots__ = ("days", "enrolls", "needs_code", "reason")

    def __init__(self, reason: str = "", *, enrolls: bool = False, days: int = 0) -> None:
        self.needs_code = not reason
        self.reason = reason
        self.enrolls = enrolls
        self.days = days


def decide(
    code: str,
    is_enrolled: bool | None,
    is_granted: bool,
    enrollment: Enrollment,
    service: str,
    now: float,
) -> Decision:
    """What follows from the rule's code; `is_enrolled` None: unknown. `now`: Unix time."""
    if code == NEVER:
        return Decision(EXEMPT)
    if is_enrolled is False and code == IF_ENROLLED:
        return Decision(NOT_ENROLLED)
    if is_granted:
        return Decision(GRANTED)
    if is_enrolled is not False:
        return Decision()
    if enrollment.mode == BY and now < enrollment.deadline:
        return Decision(GRACE, days=-int(-(enrollment.deadline - now) // DAY_SECONDS))
    return Decision(enrolls=enrollment.enrolls_at(service))
