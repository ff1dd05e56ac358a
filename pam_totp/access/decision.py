"""What follows from a rule: is a code asked for, and what of whoever has none to give? Pure."""

from pam_totp.rules.policy import IF_ENROLLED, NEVER, REQUIRED
from pam_totp.rules.reasons import EXEMPT, GRACE, GRANTED, NOT_ENROLLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONAL, AT_LOGIN, BY = "optional", "at-login", "by"
MODES = (OPTIONAL, REQUIRED, AT_LOGIN)  # and BY, with a day
DAY_SECONDS = 86400
# Services whose programs are known to show what PAM says to the person alone. Others may write it
# into a log: cockpit-ws to its standard error, xrdp-sesman to syslog.
SHOW_SECRETS = ("sshd", "login", "su", "su-l", "sudo", "sudo-i")


class Enrollment:
    """What happens to whoever would have to give a code and has not enrolled.

    mode: of MODES, or BY with `deadline`, the Unix time from which it is REQUIRED. more_services:
    that may show secrets, besides SHOW_SECRETS.
    """

    __slots__ = ("deadline", "mode", "more_services")

    def __init__(self, mode: str, deadline: int = 0, more_services: "Sequence[str]" = ()) -> None:
        self.mode = mode
        self.deadline = deadline
        self.more_services = more_services

    def enrolls_at(self, service: str) -> bool:
        """Whether users enroll at a login of this service, where a secret is shown then."""
        return self.mode == AT_LOGIN and service in (*SHOW_SECRETS, *self.more_services)

    def otherwise(self) -> str:
        """The code that is asked for where no rule matches."""
        return IF_ENROLLED if self.mode == OPTIONAL else REQUIRED


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
