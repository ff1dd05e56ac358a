# SPDX-License-Identifier: MIT
"""What an upgrade, a trial or an editor has left, and whether anybody keeps the log."""

import fcntl
import json
import os
import re
import shlex
from collections.abc import Iterator

from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user.attempts import boot_seconds
from pam_totp.review.doctor.findings import AT_RISK, REFUSED, UNKNOWN, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.everybody import names
from pam_totp.stack import turned_on

CHANGES, CURRENT = "changes", "current"
SECONDS_OF_GRACE = 30.0
MAX_BYTES = 16 * 1024 * 1024
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
    yield from _of_trial()
    if not os.path.exists(LOG):
        yield Finding(
            severity=AT_RISK,
            kind="log-missing",
            what=f"there is no {LOG}, so no program keeps the system log",
            consequence="Logins and refusals are recorded nowhere.",
            command="systemctl restart systemd-journald",
        )


def _minutes(seconds: float) -> str:
    number = max(1, round(seconds / 60))
    return f"{number} minute{'s' if number > 1 else ''}"


def _of_trial() -> Iterator[Finding]:
    """A change that nobody has kept or taken back (pam_totp.setup.journal)."""
    content = VAR.read(CHANGES, CURRENT, MAX_BYTES)
    if content is None:
        return
    path = f"{VAR.path}/{CHANGES}/{CURRENT}"
    try:
        record = json.loads(content)
        services, deadline = ", ".join(record["change"]["services"]), record["deadline"]
        folder = f"{VAR.path}/{CHANGES}/{int(record['number'])}"
        is_of_this_boot = record["boot"] == boot()
        seconds = float(deadline) - boot_seconds() if deadline else 0.0
    except (ValueError, TypeError, KeyError):
        yield Finding(
            severity=UNKNOWN,
            kind="trial-unreadable",
            what=f"the record of a change is malformed: {path}",
            consequence="The change cannot be taken back by itself.",
            command=f"ls -lR {VAR.path}/{CHANGES}",
        )
        return
    if not is_of_this_boot or not any(map(_is_there, (f"{folder}/command", f"{folder}/watcher"))):
        yield _of_nobody(services, "its command has ended")
    elif seconds > 0:
        yield Finding(
            severity=AT_RISK,
            kind="trial-running",
            what=f"codes at {services} are on trial for {_minutes(seconds)} more",
            consequence="Unless somebody keeps the change, it is taken back then.",
            command="pam-totp confirm",
        )
    elif deadline and seconds < -SECONDS_OF_GRACE:
        yield _of_nobody(services, "its time is over")


def _of_nobody(services: str, why: str) -> Finding:
    return Finding(
        severity=REFUSED,
        kind="trial-left-over",
        what=f"a change at {services} was neither kept nor taken back: {why}",
        consequence="Its files may be the old ones or the new ones.",
        command="pam-totp confirm --take-back",
    )


def _is_there(path: str) -> bool:
    """Whether the process is there that holds this lock (pam_totp.setup.watch)."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(file)


def boot() -> str:
    """Names the time since the machine was started."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _of_upgrade(new: str, kept: str) -> Finding:
    return Finding(
        severity=AT_RISK,
        kind="new-version-of-service",
        what=f"an upgrade left {new} beside {kept}, which has a pam_totp.so line",
        consequence="Changes of the new version are not used. If it replaces the old one, no code "
        "is asked for.",
        command=f"diff {shlex.quote(kept)} {shlex.quote(new)}",
    )
