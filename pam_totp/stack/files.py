# SPDX-License-Identifier: MIT
"""A file of PAM's as the lines that libpam makes of it, without a byte lost.

libpam joins what a backslash continues and leaves out comments, in pam_handlers.c
(_pam_assemble_line) before 1.6 and in pam_line.c since then. The two differ: see Libpam.
"""

import dataclasses
from collections.abc import Iterator

from pam_totp.stack.libpam import Libpam, Unknown

# pam_handlers.c, BUF_SIZE: before 1.6 a longer line is read as two.
BUFFER_BYTES = 1024


@dataclasses.dataclass(frozen=True)
class SourceLine:
    """What libpam reads as one line. number: of the first line of the file that it has text of;
    text: joined, without comment; raw: every byte of the file after the line before it."""

    number: int
    text: str
    raw: bytes


@dataclasses.dataclass(frozen=True)
class File:
    """rest: the bytes after the last line; cut_off: the number of a last line that ends with a
    backslash, so that libpam refuses the file as a whole once it comes to its end; 0 for none."""

    path: str
    lines: tuple[SourceLine, ...]
    rest: bytes
    cut_off: int = 0

    @property
    def content(self) -> bytes:
        """The whole file."""
        return b"".join(line.raw for line in self.lines) + self.rest


@dataclasses.dataclass
class _Assembled:
    """number: of the line where it began, from 0; kept: its text so far; end: where it ends in the
    content; is_open: waits for the line that its backslash promised."""

    number: int = -1
    kept: bytes = b""
    end: int = 0
    is_open: bool = False


def file_of(path: str, content: bytes, libpam: Libpam) -> File:
    """Raises Unknown."""
    if b"\0" in content:
        raise Unknown(f"{path} contains a NUL byte")
    assembled = _since_1_6(content) if libpam.since_1_6 else _before_1_6(path, content)
    lines, begin, cut_off = [], 0, 0
    for each in assembled:
        if each.is_open:
            cut_off = max(1, each.number + 1)  # a backslash alone has no text, so no number
            break
        text = each.kept.decode("utf-8", "surrogateescape")
        lines.append(SourceLine(each.number + 1, text, content[begin : each.end]))
        begin = each.end
    return File(path, tuple(lines), content[begin:], cut_off)


def _before_1_6(path: str, content: bytes) -> Iterator[_Assembled]:
    line, at = _Assembled(), 0
    while True:
        room = BUFFER_BYTES - 1 - len(line.kept)
        if room == 0:
            raise Unknown(f"{path} has a line of {BUFFER_BYTES} bytes, at which libpam never ends")
        if at == len(content):
            break
        newline = content.find(b"\n", at, at + room)
        piece = content[at : newline + 1 if newline >= 0 else at + room]
        begin, at = at, at + len(piece)
        text = piece.lstrip(b" \t\n")
        if not text or text.startswith(b"#"):
            continue  # even between a line and its continuation
        if line.number < 0:
            line.number = content.count(b"\n", 0, begin)
        before, comment, _ = piece.partition(b"#")
        words = before.rstrip(b" \t\n")
        line.is_open = not comment and words.endswith(b"\\")
        line.kept += words[:-1] + b" " if line.is_open else before
        line.end = at
        if not line.is_open:
            yield line
            line = _Assembled()
    if line.is_open:
        yield line


def _since_1_6(content: bytes) -> Iterator[_Assembled]:
    line, end = _Assembled(), 0
    pieces = content.split(b"\n")
    if not pieces[-1]:
        pieces.pop()  # the last newline ends a line and begins none
    for number, piece in enumerate(pieces):
        end = min(end + len(piece) + 1, len(content))
        before, comment, _ = piece.partition(b"#")
        words = before.rstrip(b" \t")
        line.is_open = not comment and words.endswith(b"\\")
        text = (words[:-1] + b" " if line.is_open else before).lstrip(b" \t")
        if text and line.number < 0:
            line.number = number
        line.kept, line.end = line.kept + text, end
        if not line.is_open and line.kept:
            yield line  # a blank line and a comment end one that was continued, too
            line = _Assembled()
    if line.is_open:
        yield line
