# SPDX-License-Identifier: MIT
"""What a program says of its own failure, as far as an administrator may read it. Pure.

- It MUST NOT have the code or the address in it: what sends often quotes what it could not send,
  in digits, in groups of digits or one by one (a voice that reads it), in a URL, or in hex (a
  database of gammu-smsd).
- It MUST be one short printable line, and no part of a sentence of ours: what follows a semicolon
  there is a command to run.
"""

import re

from pam_totp.sending.message import Message

MAX_BYTES = 4096  # kept of the beginning, and of the end
MAX_SAID = 204  # characters: with the program and how it ended, a detail of the log
MAX_OF_LINE = 100
BETWEEN, LEFT_OUT = " | ", "…"
MAX_DIGITS = 5  # as of a port or a process
_DIGITS = re.compile(rf"\d(?:[ ()-]{{0,2}}\d){{{MAX_DIGITS},}}")
_WORD = re.compile(r"[0-9A-Za-z+=%]{12,}")
_OWN_NAME = re.compile(r"^\S+\[\d+\]: ")  # which the log has already


class Said:
    """What came from one output of a program, as it comes: its beginning and its end."""

    def __init__(self) -> None:
        self._first = self._last = b""
        self._length = 0

    def add(self, more: bytes) -> None:
        """What came next."""
        self._first = (self._first + more)[:MAX_BYTES]
        self._last = (self._last + more)[-MAX_BYTES:]
        self._length += len(more)

    def lines(self) -> list[str]:
        """Whole ones: where one was cut, perhaps in the code, the rest would not be found."""
        first = self._first.decode("utf-8", "replace").split("\n")
        if self._length <= MAX_BYTES:
            return first
        return [*first[:-1], *self._last.decode("utf-8", "replace").split("\n")[1:]]


def shown(lines: list[str], message: Message) -> str:
    """The first lines, which often say why, and the last one; each once."""
    whole = "\n".join(_OWN_NAME.sub("", line.strip()) for line in lines)
    cut = [_one(line)[:MAX_OF_LINE].rstrip() for line in message.hide_in(whole).split("\n")]
    *others, last = list(dict.fromkeys(filter(None, cut))) or [""]
    found: list[str] = []
    for line in others:
        if len(BETWEEN.join([*found, line, LEFT_OUT, last])) > MAX_SAID:
            found.append(LEFT_OUT)
            break
        found.append(line)
    return BETWEEN.join([*found, last])


def _one(line: str) -> str:
    text = _DIGITS.sub(LEFT_OUT, _WORD.sub(_unless_encoded, line))
    text = "".join(each if each.isprintable() else " " for each in text)
    return text.replace('"', "'").replace(";", ",")


def _unless_encoded(found: re.Match[str]) -> str:
    """A word, or nothing of what may be a code in hex or base64, or a password."""
    text = found[0]
    digits = sum(map(str.isdigit, text))
    is_encoded = digits > MAX_DIGITS or (digits and ("%" in text or text != text.lower()))
    return LEFT_OUT if is_encoded else text
