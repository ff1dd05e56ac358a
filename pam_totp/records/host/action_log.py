# SPDX-License-Identifier: MIT
"""What a command changes for others, as one `key=value` line to authpriv. Never at a login."""

import syslog

from pam_totp.records.host.audit import quote


def write(action: str, **fields: str) -> None:
    """Logs an action with its fields, in their order; empty ones are left out. `by`: who became
    root, as sudo tells."""
    line = " ".join(f"{key}={quote(value)}" for key, value in fields.items() if value)
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_NOTICE, f"action={action} {line}")
