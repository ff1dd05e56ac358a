# SPDX-License-Identifier: MIT
"""SELinux and AppArmor: whether they confine a program that runs the module."""

import os
import re
from collections.abc import Iterator

from pam_totp.review.doctor.findings import UNKNOWN, Finding, undetermined
from pam_totp.review.doctor.host import Host

SELINUX = "/sys/fs/selinux/enforce"
APPARMOR = "/sys/kernel/security/apparmor/profiles"
# Programs that ask PAM, and what they run for us.
_PROGRAM = re.compile(
    r"(^|[/ ])(usr\.s?bin\.)?(sshd(-session)?|login|su|sudo|doas|dovecot|polkitd?|gdm[\w-]*"
    r"|lightdm|sddm|cron|vsftpd)( |$)|pam-totp"
)


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    del host
    if _read(SELINUX).strip() == "1":
        what = "whether the SELinux policy, which is enforced, lets a login run our programs"
        yield undetermined(what, "ausearch -m avc | grep -E 'comm=\"(gate|verify|python3)\"'")
    confined = profiles_of(_read(APPARMOR))
    if confined:
        yield Finding(
            severity=UNKNOWN,
            kind="apparmor-confines",
            what=f"AppArmor confines {', '.join(confined)} (enforce)",
            consequence="Unless its profile allows /usr/libexec/pam-totp, /usr/lib/pam-totp, "
            "/run/pam-totp and /var/lib/pam-totp, every login there that needs a code is refused.",
            command="journalctl -k --grep apparmor=.DENIED",
        )


def profiles_of(table: str) -> list[str]:
    """The enforced profiles of programs that ask PAM. Lines are `NAME (MODE)`."""
    rows = (line.rpartition(" ") for line in table.splitlines())
    return [name for name, _, mode in rows if mode == "(enforce)" and _PROGRAM.search(name)]


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
