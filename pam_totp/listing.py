# SPDX-License-Identifier: MIT
"""Text that fits the terminal it is printed on."""

import shutil
import sys
import textwrap
from typing import TextIO


def fit(text: str, stream: TextIO | None = None) -> str:
    """The text with its long lines wrapped between words, as wide as the terminal; as it is where
    the stream (standard output) is none, so that programs find one line for each fact."""
    if not (stream or sys.stdout).isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(each for line in text.split("\n") for each in _wrap(line, width))


def _wrap(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    # A path or a command stays whole: it is there to be copied.
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
