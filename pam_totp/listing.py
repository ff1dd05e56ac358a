# SPDX-License-Identifier: MIT
"""Text that fits the terminal it is printed on."""

import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import TextIO


def fit(text: str, stream: TextIO | None = None) -> str:
    """The text with its long lines wrapped between words, as wide as the terminal; as it is where
    the stream (standard output) is none, so that programs find one line for each fact."""
    if not (stream or sys.stdout).isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(each for line in text.split("\n") for each in _wrap(line, width))


def columns(rows: Sequence[Sequence[str]], max_first: int) -> list[list[str]]:
    """The lines of each row: one in which the columns stand below each other, after another one for
    a first cell of more than `max_first` characters."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    widths[0] = min(widths[0], max_first)
    found = []
    for first, *others in rows:
        lines = [first] if len(first) > max_first else []
        cells = ["" if lines else first, *others]
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        found.append([*lines, "  ".join(padded).rstrip()])
    return found


def counted(number: int, noun: str) -> str:
    """ "1 user", "2 users", "1,000 users": of a noun that gets an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(seconds: int | None) -> str:
    """A time in UTC, to the minute; users can set any time on their files."""
    try:
        return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "?"


def _wrap(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    # A path or a command stays whole: it is there to be copied.
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
