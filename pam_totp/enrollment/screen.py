# SPDX-License-Identifier: MIT
"""What standard output can show: its size, UTF-8, colours, and which blocks its font has."""

import os
import sys
from pathlib import Path

from pam_totp.enrollment.console import blocks, font_of, reads_utf8, size_of

FEWEST_COLOURS = 8
LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")  # the first that is set decides


class Terminal:
    """What standard output can show. `columns` and `rows` are 0 where it is no terminal.

    variable: the one of LOCALE that says whether this is UTF-8; has_font: on a virtual console."""

    def __init__(self) -> None:
        self.columns = self.rows = 0
        self.colour = self.utf8 = False
        font = None
        self.variable, codeset = character_set(first_environment())
        if sys.stdout.isatty():
            terminal = sys.stdout.fileno()
            self.columns, self.rows = size_of(terminal)
            self.colour = has_colours(os.environ.get("TERM", "dumb"), terminal)
            self.utf8 = codeset == "utf8" or (not codeset and reads_utf8(terminal))
            font = font_of(terminal)
        self.has_font = font is not None
        self.half_blocks, self.full_cell = blocks(self.utf8, font)


def has_colours(name: str, terminal: int) -> bool:
    """Whether a terminal of this name (terminfo(5)) has colours; one that is not known here has."""
    import curses

    try:
        curses.setupterm(name or "dumb", terminal)
    except curses.error:
        return True
    return curses.tigetnum("colors") >= FEWEST_COLOURS


def character_set(environment: dict[str, str]) -> tuple[str, str]:
    """The variable that names the terminal's character set, and that set: "utf8", another, or
    nothing. The locale need not be installed: it says what the person's terminal reads."""
    for name in LOCALE:
        value = environment.get(name, "").partition("@")[0]
        if value:
            codeset = value.partition(".")[2].lower().replace("-", "")
            return name, "utf8" if value.upper() == "UTF-8" else codeset  # as macOS sends it
    return LOCALE[-1], ""


def first_environment() -> dict[str, str]:
    """What this process was started with: Python puts a LC_CTYPE of its own there (PEP 538)."""
    pairs = Path("/proc/self/environ").read_bytes().decode("utf-8", "replace").split("\0")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
