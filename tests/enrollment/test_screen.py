# SPDX-License-Identifier: MIT
"""What a terminal says of itself, read as the kernel and the environment give it."""

import ctypes
import errno
import os
import pty
import struct

import pytest

from pam_totp.enrollment.console import GIO_UNIMAP, blocks, font_of
from pam_totp.enrollment.screen import character_set

LAT15 = "A█░▒▓│"  # of Debian's fonts: a full block, no half blocks


def console_with(font: str) -> object:
    """The kernel's answer for a virtual console with this font (drivers/tty/vt/vt_ioctl.c)."""

    def ioctl(_terminal: int, request: int, argument: bytes) -> bytes:
        assert request == GIO_UNIMAP
        room, address = struct.unpack("HP", argument)
        assert room >= len(font)
        pairs = b"".join(struct.pack("HH", ord(each), at) for at, each in enumerate(font))
        ctypes.memmove(address, pairs, len(pairs))
        return struct.pack("HP", len(font), address)

    return ioctl


@pytest.mark.parametrize(
    ("font", "half_blocks", "full_cell"),
    [
        (LAT15, False, "██"),
        (LAT15 + "▀▄", True, "██"),
        (LAT15 + "▀", False, "██"),
        ("A", False, "##"),
    ],
)
def test_console_is_drawn_with_what_its_font_has(
    font: str, half_blocks: bool, full_cell: str
) -> None:
    found = font_of(-1, console_with(font))  # type: ignore[arg-type]
    assert found == set(font)
    assert blocks(True, found) == (half_blocks, full_cell)


def test_console_that_does_not_tell_its_font_gets_no_blocks() -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    assert blocks(True, font_of(-1, refuse)) == (False, "##")


def test_every_other_terminal_has_all_blocks() -> None:
    ends = pty.openpty()
    try:
        assert font_of(ends[1]) is None
    finally:
        for each in ends:
            os.close(each)
    assert blocks(True, None) == (True, "██")


def test_terminal_without_utf8_gets_ascii_whatever_its_font() -> None:
    assert blocks(False, set(LAT15 + "▀▄")) == blocks(False, None) == (False, "##")


@pytest.mark.parametrize(
    ("environment", "answer"),
    [
        ({}, ("LANG", "")),
        ({"LC_ALL": "", "LC_CTYPE": "", "LANG": ""}, ("LANG", "")),
        ({"LANG": "de_DE"}, ("LANG", "")),
        ({"LC_CTYPE": "UTF-8", "LANG": "de_DE.ISO-8859-1"}, ("LC_CTYPE", "utf8")),
        ({"LC_CTYPE": "UTF-8", "LC_ALL": "de_DE.ISO-8859-1"}, ("LC_ALL", "iso88591")),
        ({"LANG": "de_DE.utf8@euro"}, ("LANG", "utf8")),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, ("LC_ALL", "")),
    ],
)
def test_first_variable_that_is_set_names_the_character_set(
    environment: dict[str, str], answer: tuple[str, str]
) -> None:
    assert character_set(environment) == answer
