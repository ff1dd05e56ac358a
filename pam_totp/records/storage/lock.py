# SPDX-License-Identifier: MIT
"""The lock of a folder, which ends with the processes that hold its descriptor."""

import fcntl
import time


def try_lock(folder: int) -> bool:
    """Whether the descriptor has the lock now. It does not wait. Raises OSError."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def lock(folder: int, seconds: float) -> bool:
    """Whether the descriptor has the lock, after a wait of at most so long. Raises OSError."""
    until = time.monotonic() + seconds
    while not try_lock(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
