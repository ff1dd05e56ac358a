# SPDX-License-Identifier: MIT
"""What a terminal itself says: its size, whether it reads UTF-8, and which blocks its font has."""

import array
import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Any

# What a terminal has that does not know its size: serial consoles say 0x0.
COLUMNS, ROWS = 80, 24
IUTF8 = 0o40000  # Linux, asm-generic/termbits.h: the terminal's line discipline reads UTF-8
GIO_UNIMAP = 0x4B66  # Linux, linux/kd.h: the characters that the font of a virtual console has
MAX_CHARACTERS = 0xFFFF


def size_of(terminal: int) -> tuple[int, int]:
    """Columns and rows. Raises OSError where it is no terminal."""
    columns, rows = os.get_terminal_size(terminal)
    return (columns, rows) if columns and rows else (COLUMNS, ROWS)


def reads_utf8(terminal: int) -> bool:
    """What the line discipline is set to. Raises termios.error where it is no terminal."""
    return bool(termios.tcgetattr(terminal)[0] & IUTF8)


def blocks(utf8: bool, font: set[str] | None) -> tuple[bool, str]:
    """Whether half blocks can be shown, and what draws a full cell of two columns without them."""
    if not utf8:
        return False, "##"
    if font is None:
        return True, "██"
    return font >= set("▀▄"), "██" if "█" in font else "##"


def font_of(terminal: int, ioctl: Callable[..., Any] = fcntl.ioctl) -> set[str] | None:
    """The characters that a virtual console's font has, none if it does not tell; None for every
    other terminal, whose font has all blocks."""
    pairs = array.array("H", bytes(4 * MAX_CHARACTERS))  # of character and position
    request = struct.pack("HP", MAX_CHARACTERS, pairs.buffer_info()[0])
    try:
        count = struct.unpack("HP", ioctl(terminal, GIO_UNIMAP, request))[0]
    except OSError as failure:
        return None if failure.errno in (errno.ENOTTY, errno.EINVAL) else set()
    return set(map(chr, pairs[: 2 * count : 2]))
