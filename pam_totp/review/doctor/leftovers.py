# SPDX-License-Identifier: MIT
"""What an upgrade, a trial or an editor has left, and whether anybody keeps the log."""

import os
import re
import shlex
from collections.abc import Iterator

from pam_totp.records.storage.state_dir import VAR
from pam_totp.review.doctor.findings import AT_RISK, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.everybody import names
from pam_totp.stack import turned_on

CHANGES = "changes"
LOG = "/dev/log"
# What dpkg, ucf, rpm and pacman leave beside a file that was edited.
_NEW = re.compile(r"(.+)\.(dpkg-dist|dpkg-new|ucf-dist|ucf-new|rpmnew|pacnew)$")


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    concerned = {*host.asking, *names(turned_on.KIND)}
    for folder in host.libpam.folders[:1]:
        for name in sorted(os.listdir(folder)):
            found = _NEW.match(name)
            if found and found[1] in concerned:
                yield _of_upgrade(f"{folder}/{name}", f"{folder}/{found[1]}")
    for name in sorted(names(CHANGES)):
        yield Finding(
            severity=AT_RISK,
            kind="trial-left-over",
            what=f"a change of {VAR.path}/{CHANGES}/{name} is neither kept nor taken back",
            consequence="It is taken back when its time is over, or at the next start.",
            command="pam-totp confirm",
        )
    if not os.path.exists(LOG):
        yield Finding(
            severity=AT_RISK,
            kind="log-missing",
            what=f"no program reads {LOG}",
            consequence="Logins and refusals are recorded nowhere.",
            command="systemctl restart systemd-journald",
        )


def _of_upgrade(new: str, kept: str) -> Finding:
    return Finding(
        severity=AT_RISK,
        kind="new-version-of-service",
        what=f"an upgrade left {new} beside {kept}, which has a pam_totp.so line",
        consequence="Changes of the new version are not used. If it replaces the old one, no code "
        "is asked for.",
        command=f"diff {shlex.quote(kept)} {shlex.quote(new)}",
    )
