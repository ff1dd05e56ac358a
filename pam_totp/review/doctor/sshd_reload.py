# SPDX-License-Identifier: MIT
"""Whether the running sshd has read its settings since they were changed.

It reads them when it starts or is told to (SIGHUP), and writes its pid file anew each time.
"""

import os
from collections.abc import Iterator

from pam_totp.review.doctor.findings import AT_RISK, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.lockout import ELSEWHERE
from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_config import read_blocks

SYSTEMD = "/run/systemd/system"  # sd_booted(3)
UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# Files that were written, and read, within the same second.
SPARE_SECONDS = 1.0


def find(host: Host) -> Iterator[Finding]:
    """See the module. Nothing where no sshd runs that writes a pid file."""
    if "sshd" not in host.asking or not os.path.exists(sshd.SSHD):
        return
    try:
        path = sshd.settings_for("root", ELSEWHERE[0]).get("pidfile", "none")
        files = {block.file for block in read_blocks()}
    except Unknown:
        return  # another check says so
    running = pid_and_time(path)
    if running is None:
        return
    pid, read_at = running
    changed = {file: os.stat(file).st_mtime for file in files if os.path.exists(file)}
    newest = max(changed, key=lambda file: changed[file])
    if changed[newest] > read_at + SPARE_SECONDS:
        yield Finding(
            severity=AT_RISK,
            kind="sshd-not-reloaded",
            what=f"sshd has not read {newest} since it was changed",
            consequence="Until sshd is reloaded, the earlier settings apply.",
            command=how_to_reload(pid),
        )


def pid_and_time(path: str) -> tuple[int, float] | None:
    """The sshd that wrote this pid file, and when; None if it does not run."""
    try:
        with open(path, encoding="ascii") as file:
            pid, written = int(file.read(100)), os.fstat(file.fileno()).st_mtime
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return (pid, written) if file.read().strip() == "sshd" else None
    except (OSError, ValueError):
        return None


def how_to_reload(pid: int) -> str:
    """The command that makes it read them."""
    if not os.path.isdir(SYSTEMD):
        return f"kill -HUP {pid}"
    is_debian = any(os.path.exists(f"{folder}/ssh.service") for folder in UNITS)
    return f"systemctl reload {'ssh' if is_debian else 'sshd'}"
