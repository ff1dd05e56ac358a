# SPDX-License-Identifier: MIT
"""Every edit of a service's file by which codes may be turned on there, the smallest first. Pure:
which of them is right is for the proof to say."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from pam_totp.setup.block import put_in
from pam_totp.setup.new_lines import (
    CODE_LINE,
    COMBINED_LINE,
    KEY_LINE,
    KEY_OR_NOTHING,
    LANDING,
)
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD
from pam_totp.stack.control import lower, words_of
from pam_totp.stack.factors import CODE, KEY, NO_CODE_NEEDED, ROOT, meanings
from pam_totp.stack.files import File
from pam_totp.stack.lines import Line

MAX_LINES = 40

Count = Callable[[bytes], int]


@dataclasses.dataclass(frozen=True)
class Top:
    """A line of the file that adds to its auth stack; begin, end: of it in the content."""

    number: int
    begin: int
    end: int
    text: str
    words: tuple[str, ...]

    @property
    def included(self) -> str:
        """What it includes; empty for nothing."""
        if self.words[0] == "@include":
            return self.words[1] if len(self.words) > 1 else ""
        is_include = len(self.words) > 2 and lower(self.words[1]) in ("include", "substack")
        return self.words[2] if is_include else ""


@dataclasses.dataclass(frozen=True)
class Edit:
    """after: the content with it. line: of the file, after which the code is asked for, by
    `code_line`."""

    after: bytes
    line: int
    code_line: str = CODE_LINE


def tops_of(file: File, count: Count) -> list[Top]:
    """The lines that add to the auth stack."""
    found, at = [], 0
    for line in file.lines:
        pieces = line.raw.splitlines(keepends=True)
        while len(pieces) > 1 and re.match(rb"[ \t]*(#|$)", pieces[0].rstrip(b"\n")):
            at += len(pieces.pop(0))
        words = words_of(line.text)
        kind = lower(words[0].removeprefix("-")) if words else ""
        end = at + sum(map(len, pieces))
        if kind in ("auth", "@include"):
            text = b"".join(pieces).decode("utf-8", "surrogateescape").rstrip("\n")
            if kind == "auth" or count(_joined([text])):
                found.append(Top(line.number, at, end, text, tuple(words)))
        at = end
    return found[:MAX_LINES]


def edits(
    file: File,
    lines: Sequence[Line],
    first_factor: str,
    note: str,
    count: Count,
    place: int = 0,
    code_lines: Sequence[str] = (CODE_LINE,),
) -> Iterator[Edit]:
    """lines: the service's auth stack. note: what the mark says. count: how many lines of the
    stack, a substack being one, a part of the file is. place: the number of the only line after
    which they are to be; 0 for any. code_lines: those that ask for the code, or for what stands in
    its place."""
    content, tops = file.content, tops_of(file, count)
    if not tops:
        ours = ["auth include other", *code_lines]
        yield Edit(put_in(content, len(content), len(content), note, ours), 0)
        return
    for last in range(len(tops)):
        if place not in (0, tops[last].number):
            continue
        for ours, first in blocks(file, tops, last, lines, first_factor, count, code_lines):
            begin = tops[last].end if first is None else tops[first].begin
            yield Edit(put_in(content, begin, tops[last].end, note, ours), tops[last].number)


def combined(
    file: File, inlined: Callable[[str], list[str]], note: str, count: Count
) -> Iterator[Edit]:
    """Edits by which the code is typed right after the password, in one answer. inlined: the lines
    for an include of another service."""
    tops = tops_of(file, count)
    for last in range(len(tops)):
        part = tops[: last + 1]
        texts = ["\n".join(inlined(top.included) or [top.text]) for top in part]
        ours = [COMBINED_LINE, *_with_between(file.content, part, texts), CODE_LINE]
        after = put_in(file.content, tops[0].begin, tops[last].end, note, ours)
        yield Edit(after, tops[last].number)


def _with_between(content: bytes, part: Sequence[Top], texts: Sequence[str]) -> list[str]:
    """The texts for these lines, with the lines of other types that stand between them."""
    found = list(texts[:1])
    for before, top, text in zip(part, part[1:], texts[1:], strict=False):
        between = content[before.end : top.begin].decode("utf-8", "surrogateescape")
        found += [each for each in between.splitlines() if each.strip() and each.strip()[0] != "#"]
        found.append(text)
    return [text for text in found if text]


def blocks(
    file: File,
    tops: Sequence[Top],
    last: int,
    lines: Sequence[Line],
    first_factor: str,
    count: Count,
    code_lines: Sequence[str] = (CODE_LINE,),
) -> Iterator[tuple[list[str], int | None]]:
    """The lines of a block that ends where the line `last` does, and the first line that it stands
    for; None: it follows the last. tops: those without a text are left out."""
    by_number = {line.number: line for line in lines if line.file == file.path}
    if first_factor not in (KEY_OR_PASSWORD, KEY_ONLY):
        part = tops[: last + 1]
        texts, changed = [top.text for top in part], _ending(part, by_number, count)
        left_out = [at for at, text in enumerate(texts) if not text]
        first = min(left_out, default=None)
        yield [*_from(first, file, part, texts), *code_lines], first
        differ = [at for at, text in enumerate(texts) if changed[at] != text]
        if differ:
            first = min(differ + left_out)
            yield [*_from(first, file, part, changed), LANDING, *code_lines], first
        return
    for first in range(last, -1, -1):
        part = tops[first : last + 1]
        texts = [top.text for top in part]
        if first_factor == KEY_ONLY:
            kept = _with_between(file.content, part, [""] * len(part))
            yield [KEY_OR_NOTHING, *code_lines, *kept], first
            continue
        for changed in (texts, _ending(part, by_number, count)):
            whole = [*_with_between(file.content, part, changed), LANDING, *code_lines]
            if jump := count(_joined(changed)):  # a jump over nothing is a fault to libpam
                yield [KEY_LINE.format(jump), *whole], first


def _from(first: int | None, file: File, part: Sequence[Top], texts: Sequence[str]) -> list[str]:
    """The texts for these lines from the first one on; none without it."""
    return [] if first is None else _with_between(file.content, part[first:], texts[first:])


def _ending(part: Sequence[Top], by_number: dict[int, Line], count: Count) -> list[str]:
    """The lines, so that a wrong first factor ends the stack and a right one comes to our line."""
    texts: list[str] = []
    for top in reversed(part):
        texts.insert(0, _changed(top, by_number.get(top.number), lambda: count(_joined(texts))))
    return texts


def _changed(top: Top, line: Line | None, left: Callable[[], int]) -> str:
    if top.included:
        return re.sub(r"(?i)^(\S+\s+)substack\b", r"\1include", top.text)
    control = lower(top.words[1]) if len(top.words) > 1 else ""
    if line is None or control not in ("required", "sufficient"):
        return top.text
    others = (None, ROOT, KEY, CODE, NO_CODE_NEEDED)  # root's own rights stay as they are
    proves = any(each not in others for each in meanings(line).values())
    if control == "required" and (proves or line.module_name == "pam_deny.so"):
        return _with_control(top.text, "requisite")
    if control == "sufficient" and proves:
        jump = left()
        # An expired one ended the stack without success, and still does.
        actions = f"[success={jump} new_authtok_reqd=die default=ignore]"
        return _with_control(top.text, actions if jump else "requisite")
    return top.text


def _with_control(text: str, control: str) -> str:
    return re.sub(r"^(\s*\S+\s+)\S+", lambda found: found[1] + control, text, count=1)


def _joined(texts: Sequence[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogateescape")
