# SPDX-License-Identifier: MIT
"""The clock: who keeps it, whether it is right, and how far off it is if a source says so.

A code is correct for 30 seconds, and the one before and after it are accepted too.
"""

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage import state_dir
from pam_totp.records.user import enforced
from pam_totp.review.doctor.findings import AT_RISK, REFUSED, Finding
from pam_totp.review.doctor.host import Host

# The names of processes (15 characters of them) that keep a clock, and what shows how they do.
DAEMONS = {
    "chronyd": "chronyc tracking",
    "ntpd": "ntpq -p",
    "systemd-timesyn": "timedatectl timesync-status",
    "ptp4l": "pmc -u -b 0 'GET TIME_STATUS_NP'",
}
TIMESYNCD = ("/usr/lib/systemd/systemd-timesyncd", "/lib/systemd/systemd-timesyncd")
# linux/timex.h: TIME_ERROR is what adjtimex(2) answers while no source keeps the clock.
TIME_ERROR = 5
MAX_SECONDS = 10


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    daemons = daemons_of_host()
    offset = chrony_offset() if "chronyd" in daemons else None
    yield from judge(kernel_is_kept(), daemons, offset, tolerated_seconds(host.active))
    yield from of_records(newest_login(), host.now)


def tolerated_seconds(active: Settings) -> int:
    """How far the clock may be off before correct codes are refused."""
    return (active.window_steps or 1) * int(active.values["code.period"])


def judge(
    is_kept: bool | None, daemons: list[str], offset: float | None, tolerated: int
) -> Iterator[Finding]:
    """is_kept: what the kernel says of its clock, None if it does not say; daemons: those that run;
    offset: seconds by which a source says that the clock is off."""
    if offset is not None and abs(offset) >= tolerated:
        yield Finding(
            severity=REFUSED,
            kind="clock-off",
            what=f"the clock is {abs(offset):.0f} seconds {'ahead' if offset > 0 else 'behind'}",
            consequence=f"Correct codes are refused once the clock is {tolerated} seconds off.",
            command="chronyc makestep",
        )
    elif offset is None and is_kept is not True:
        doing = DAEMONS[daemons[0]] if daemons else ""
        running = f"{daemons[0]} runs, and " if daemons else ""
        yield Finding(
            severity=AT_RISK,
            kind="clock-not-synchronised" if daemons else "clock-not-kept",
            what=f"{running}the clock of this machine is not synchronised with any other"
            if daemons
            else "no program keeps the clock of this machine",
            consequence=f"Once it is {tolerated} seconds off, correct codes are refused.",
            command=doing or how_to_keep_it(),
        )


def of_records(newest: float | None, now: float) -> Iterator[Finding]:
    """A login in the future: the clock was set back since then."""
    if newest is not None and newest > now + 60:
        hours = (newest - now) / 3600
        ahead = f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
        yield Finding(
            severity=REFUSED,
            kind="clock-set-back",
            what=f"the last login with a code was {ahead} in the future",
            consequence="The clock was wrong then, or is wrong now: correct codes are refused "
            "until it shows a later time than the last code.",
            command="date",
        )


def how_to_keep_it() -> str:
    """The command that has somebody keep the clock."""
    if not any(os.path.exists(path) for path in TIMESYNCD):
        return "apt-get install systemd-timesyncd"
    return "timedatectl set-ntp true"


def kernel_is_kept() -> bool | None:
    """Whether a source keeps the kernel's clock, as adjtimex(2) answers."""
    state = ctypes.create_string_buffer(struct.calcsize("i") * 128)  # modes 0: it only reads
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(state)
    except (OSError, AttributeError):
        return None
    return answer != TIME_ERROR if answer >= 0 else None


def daemons_of_host() -> list[str]:
    """Those of DAEMONS that run."""
    found = set()
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                    found.add(file.read().strip())
            except OSError:
                continue  # it has ended
    return [name for name in DAEMONS if name in found]


def chrony_offset() -> float | None:
    """By how many seconds chronyd says that the clock is ahead; None while it has no source."""
    try:
        done = subprocess.run(
            ["/usr/bin/chronyc", "-c", "-n", "tracking"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return offset_of(done.stdout)


def offset_of(tracking: str) -> float | None:
    """Of `chronyc -c tracking`, whose fifth field is how far the clock is behind the source; the
    last one says "Not synchronised" while there is no source."""
    fields = tracking.strip().split(",")
    if len(fields) < 14 or fields[-1].startswith("Not"):
        return None
    try:
        return -float(fields[4])
    except ValueError:
        return None


def newest_login() -> float | None:
    """When the latest login with a code was, in Unix seconds."""
    try:
        with os.scandir(f"{state_dir.VAR.path}/{enforced.KIND}") as entries:
            times = [entry.stat(follow_symlinks=False).st_mtime for entry in entries]
    except OSError:
        return None
    return max(times, default=None)
