# SPDX-License-Identifier: MIT
"""The setting `enrollment`: what happens to users who have not enrolled and need a code. Pure."""

from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.record import Record

OPTIONAL, AT_LOGIN, BY = "optional", "at-login", "by"
MODES = (OPTIONAL, REQUIRED, AT_LOGIN)  # and BY, with a day
DAY_SECONDS = 86400
# Services whose programs are known to show what PAM says to the person alone. Others may write it
# into a log: cockpit-ws to its standard error, xrdp-sesman to syslog.
SHOW_SECRETS = ("sshd", "login", "su", "su-l", "sudo", "sudo-i")


class Enrollment(Record):
    """What happens to users who must enter a code but have not enrolled.

    mode: of MODES, or BY with `deadline`, the Unix time from which it is REQUIRED. more_services:
    that may show secrets, besides SHOW_SECRETS.
    """

    mode: str
    deadline: int = 0
    more_services: tuple[str, ...] = ()

    def enrolls_at(self, service: str) -> bool:
        """Whether users enroll at a login of this service, where a secret is shown then."""
        return self.mode == AT_LOGIN and service in (*SHOW_SECRETS, *self.more_services)
