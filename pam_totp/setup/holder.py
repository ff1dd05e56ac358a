# SPDX-License-Identifier: MIT
"""The process that holds a lock that others wait for.

- A process that is stopped (SIGSTOP) MUST NOT keep others waiting, or a trial would not end. It is
  made to go on, and finishes what it has begun.
"""

import os
import signal

_LOCKS = "/proc/locks"  # proc(5)


def of(file: int) -> int | None:
    """Who has locked (flock) what this descriptor is open on; None where that cannot be seen."""
    try:
        with open(_LOCKS, encoding="ascii") as locks:
            lines = [line.split() for line in locks]
        wanted = os.fstat(file)
    except (OSError, ValueError):
        return None
    # The device and inode there are not those of stat(2) on every file system.
    holders = {int(words[4]) for words in lines if words[1:4] == ["FLOCK", "ADVISORY", "WRITE"]}
    return next((each for each in sorted(holders) if each > 0 and _holds(each, wanted)), None)


def go_on(process: int) -> None:
    """Lets a process go on that is stopped."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            state = file.read().rpartition(") ")[2][:1]
        if state == "T":
            os.kill(process, signal.SIGCONT)
    except OSError:
        pass  # it has ended


def _holds(process: int, wanted: os.stat_result) -> bool:
    """Whether it has locked that, and does not only have it open to wait for the lock."""
    try:
        files = os.listdir(f"/proc/{process}/fd")
    except OSError:
        return False
    return any(_is_locked(process, file, wanted) for file in files)


def _is_locked(process: int, file: str, wanted: os.stat_result) -> bool:
    try:
        if not os.path.samestat(os.stat(f"/proc/{process}/fd/{file}"), wanted):
            return False
        with open(f"/proc/{process}/fdinfo/{file}", encoding="ascii") as about:
            return "FLOCK" in about.read()
    except (OSError, ValueError):
        return False
