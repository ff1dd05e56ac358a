# SPDX-License-Identifier: MIT
"""A line that says how far a command is, at a terminal and only while it takes long."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Generator, Iterable
from types import FrameType
from typing import TypeVar

FIRST_SECONDS, NEXT_SECONDS = 1.0, 0.25
_ECHO = len("^C")  # what the terminal may add to the line
Item = TypeVar("Item")


def told(
    items: Iterable[Item], total: int, what: str, *, with_rate: bool = False
) -> Generator[Item, None, None]:
    """Each of `total` items as it comes. Where standard error is a terminal, a line says after a
    second how many have come, also while none comes; with_rate: and how many come in a second, and
    how long the rest takes. It is gone at the end, whatever ends it."""
    if not sys.stderr or not sys.stderr.isatty():
        yield from items
        return
    seen = shown = 0
    is_writing = False
    begun = time.monotonic()

    def show(_number: int, _frame: FrameType | None) -> None:
        nonlocal shown, is_writing
        if is_writing:  # the terminal takes nothing (Ctrl-S), so this came within the last one
            return
        is_writing = True
        with contextlib.suppress(OSError):  # the terminal is gone
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line = f"{what}: {seen:,} of {total:,}"
            line += rate(seen, total, time.monotonic() - begun) if with_rate else ""
            line = line[: max(0, columns - _ECHO - 1)].ljust(shown)
            shown = len(line)  # before it is: Ctrl-C may come at once
            _write(f"\r{line}")
        is_writing = False

    before = signal.signal(signal.SIGALRM, show)
    signal.setitimer(signal.ITIMER_REAL, FIRST_SECONDS, NEXT_SECONDS)
    try:
        for item in items:
            yield item
            seen += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if shown:
            _write(f"\r{' ' * (shown + _ECHO)}\r")


def rate(seen: int, total: int, seconds: float) -> str:
    """What follows the count: ", 3.1 a second, 4 min 20 s left"; empty while nothing is known."""
    if not seen or seconds <= 0:
        return ""
    minutes, rest = divmod(round((total - seen) * seconds / seen), 60)
    left = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f", {seen / seconds:.1f} a second, {left} left"


def _write(text: str) -> None:
    """Past the stream, which takes nothing that moves the cursor."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
        sys.stderr.buffer.write(text.encode("ascii"))
        sys.stderr.buffer.flush()
