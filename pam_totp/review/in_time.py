# SPDX-License-Identifier: MIT
"""A look at what each of many users has, in processes that can be killed.

- A home that never answers, as of a server that is gone or of a file system that a user's own
  program makes, MUST hold up no more than the look at it: nothing but SIGKILL ends a process that
  waits for one.
- Each item MUST get an answer, in the order of the items. Where a process has died, and so the
  rest of its answers is missing, the caller MUST be told.
- What is kept MUST NOT grow with the number of items: a process that is far ahead of the others
  waits until its pipe is read.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pam_totp.review.looking import (
    AT_ONCE,
    CHUNK,
    MAX_SECONDS,
    MAX_SECONDS_UNTOLD,
    NO_ANSWER,
    LookFailed,
    Process,
)

__all__ = ("AT_ONCE", "NO_ANSWER", "LookFailed", "each_in_time")

# To start another process takes longer than to look at fewer.
_MIN_ITEMS = 500
# The answers of all processes are read by this one, which can keep up with about twelve.
_MAX_PROCESSES = 8

Item = TypeVar("Item")


def each_in_time(
    items: Sequence[Item],
    look: Callable[[Item], Any],
    max_seconds: float = MAX_SECONDS,
    max_untold: float = MAX_SECONDS_UNTOLD,
) -> Iterator[tuple[Item, Any]]:
    """Each with what `look` says of it, of plain values; NO_ANSWER where that takes too long.
    max_untold: AT_ONCE if the look changes something. Raises LookFailed."""
    count = processes_for(len(items))
    processes = list[Process]()
    try:
        for first in range(count):
            share = [at for at in range(len(items)) if at // CHUNK % count == first]
            mine = [items[at] for at in share]
            processes.append(Process(mine, look, max_seconds, max_untold))
            processes[-1].start()
        for at, item in enumerate(items):
            yield item, processes[at // CHUNK % count].next_answer()
    finally:
        for process in processes:
            process.end()


def processes_for(items: int) -> int:
    """As many as there are processors to use, where each has enough to do."""
    return max(1, min(len(os.sched_getaffinity(0)), items // _MIN_ITEMS, _MAX_PROCESSES))
