# SPDX-License-Identifier: MIT
"""Starting the agent of a login host: by systemd's sockets where systemd runs."""

import os

from pam_totp.fleet.programs import run
from pam_totp.records.config.settings import AGENT_SOCKET
from pam_totp.records.host import agent

SOCKETS = ("pam-totp-agent.socket", "pam-totp-enroll.socket")
SERVICES = ("pam-totp-agent.service", "pam-totp-enroll.service")
_SYSTEMD = "/run/systemd/system"  # sd_booted(3)
AGENT = "/usr/libexec/pam-totp/agent"
# What the units do, for a machine without systemd: one for logins, one for users' own commands.
BY_HAND = (
    f"{AGENT} --listen {AGENT_SOCKET} &",
    f"{AGENT} --listen {agent.USERS_SOCKET} --for-users --state /var/lib/pam-totp-enroll &",
)


def start() -> bool:
    """Has systemd listen for questions, from now on and after each boot; False where no systemd
    runs. A running agent ends first: it still has the old password. Raises Error."""
    if not os.path.isdir(_SYSTEMD):
        return False
    run(
        ["/usr/bin/systemctl", "enable", "--now", *SOCKETS],
        "systemctl status pam-totp-agent.socket",
    )
    run(["/usr/bin/systemctl", "stop", *SERVICES], "systemctl status pam-totp-agent.service")
    return True
