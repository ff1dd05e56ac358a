# SPDX-License-Identifier: MIT
"""The marked lines that enable puts into a file, and how they are taken out again. Pure.

    # begin of pam-totp's lines: CHOICE
    # was: a line that stood here
    lines of ours
    # end of pam-totp's lines

Taken out, a file is byte for byte what it was; what others wrote around them stays.
"""

import re

BEGIN, END = b"# begin of pam-totp's lines:", b"# end of pam-totp's lines"
WAS = b"# was: "
# The file ended here without a line end.
NO_LINE_END = b"# (no line end stood here)"
_BLOCK = re.compile(
    rb"^" + BEGIN + rb"[ ]?([^\n]*)\n(.*?)^" + END + rb"[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(rb"^# (?:begin|end) of pam-totp's lines", re.MULTILINE)


def marked(choice: str, replaced: bytes, lines: list[str], *, line_end: bool = True) -> bytes:
    """A block for the place of `replaced`, whole lines. line_end: whether the file's text before
    the place where it ends has one."""
    was = [WAS + line for line in replaced.removesuffix(b"\n").split(b"\n")] if replaced else []
    kept = [] if line_end else [NO_LINE_END]
    ours = [line.encode("utf-8", "surrogateescape") for line in lines]
    return b"\n".join([BEGIN + b" " + choice.encode(), *kept, *was, *ours, END, b""])


def put_in(content: bytes, begin: int, end: int, choice: str, lines: list[str]) -> bytes:
    """The content with these lines for the bytes from begin to end: whole lines, or none of them
    and a place between two lines."""
    replaced = content[begin:end]
    before, after = content[:begin], content[end:]
    is_open = end == len(content) and content != b"" and not content.endswith(b"\n")
    if is_open and not replaced:
        before += b"\n"
    return before + marked(choice, replaced, lines, line_end=not is_open) + after


def take_out(content: bytes) -> bytes:
    """The content without our blocks. Raises ValueError for a mark without its other half."""
    while True:
        block = _BLOCK.search(content)
        if block is None:
            break
        if _MARK.search(block[2]):
            raise ValueError(
                "there are two comments 'begin of pam-totp's lines' without an end between them"
            )
        lines = block[2].split(b"\n")
        was = b"".join(line[len(WAS) :] + b"\n" for line in lines if line.startswith(WAS))
        before, after = content[: block.start()] + was, content[block.end() :]
        if NO_LINE_END in lines and not after:
            before = before.removesuffix(b"\n")
        content = before + after
    if _MARK.search(content):
        raise ValueError("one of the two comments 'begin' and 'end of pam-totp's lines' is missing")
    return content


def lines_of(content: bytes) -> list[str]:
    """The lines of ours in all blocks, as they are now."""
    lines = (line for block in _BLOCK.findall(content) for line in block[1].splitlines())
    ours = (line for line in lines if not line.startswith(b"#"))
    return [line.decode("utf-8", "surrogateescape").strip() for line in ours]


def numbers_on_disk(content: bytes) -> list[int]:
    """For each line that take_out leaves, its number in the content; for one that our block stands
    in the place of, that of the comment which says so."""
    found, is_inside = list[int](), False
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.startswith(BEGIN):
            is_inside = True
        if not is_inside or line.startswith(WAS):
            found.append(number)
        if line.startswith(END):
            is_inside = False
    return found


def choice_of(content: bytes) -> str:
    """The choice that a block says; empty for no block."""
    block = _BLOCK.search(content)
    return block[1].decode("utf-8", "replace").strip() if block else ""
