# SPDX-License-Identifier: MIT
"""Lines that a person types while something else goes on."""

import os
import select

from pam_totp.enrollment.terminal import is_at_its_end
from pam_totp.setup.record import pause


class Lost(Exception):
    """Nobody can type any more: the connection, or the terminal, is gone."""


class Answers:
    """Standard input. Where it is at its end from the start, as /dev/null is, that says nothing of
    the person, and no line ever comes."""

    def __init__(self) -> None:
        self._typed = b""
        self._is_there = not is_at_its_end()

    def lines(self, seconds: float) -> list[str]:
        """What was typed since the last look; waits so long for it. Raises Lost."""
        if not self._is_there:
            pause(seconds)
            return []
        if not select.select([0], [], [], seconds)[0]:
            return []
        try:
            typed = os.read(0, 4096)
        except OSError:
            raise Lost from None
        if not typed:
            raise Lost
        self._typed += typed
        *lines, self._typed = self._typed.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]
