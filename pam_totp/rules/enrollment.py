"""The setting `enrollment`: what happens to users who have not enrolled and need a code. Pure."""

from pam_totp.rules.policy import IF_ENROLLED, REQUIRED

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
    """What happens to users who must enter a code but have not enrolled.

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
