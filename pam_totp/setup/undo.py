# SPDX-License-Identifier: MIT
"""Taking a change of a file back, where somebody else may have edited the file since. Pure."""

import dataclasses
import difflib
from collections.abc import Sequence

from pam_totp.setup.change import FileChange

# What is done with the file.
NOTHING, PUT_BACK, MERGED, LEFT, FORCED = "nothing", "put back", "merged", "left", "forced"


@dataclasses.dataclass(frozen=True)
class Undone:
    """content: what the file is to be, None for no file. how: NOTHING, it is that already;
    PUT_BACK, it was as the change left it; MERGED, with the edits that others made since; LEFT as
    it is, as nothing of the change is in it any more; FORCED, as it was before, without those
    edits."""

    content: bytes | None
    how: str


def undo(file: FileChange, found: bytes | None) -> Undone:
    """What takes the change back in a file that is now as found."""
    if found == file.before:
        return Undone(found, NOTHING)
    if found == file.after:
        return Undone(file.before, PUT_BACK)
    if found is None:
        return Undone(found, LEFT)
    added = set(_lines(file.after)) - set(_lines(file.before))
    if not any(line.strip() for line in added.intersection(_lines(found))):
        return Undone(found, LEFT)
    if file.before is None or file.after is None:
        return Undone(file.before, FORCED)
    merged = _merge(_lines(file.before), _lines(file.after), _lines(found))
    if merged is None:
        return Undone(file.before, FORCED)
    return Undone(b"".join(merged), MERGED)


def _merge(before: list[bytes], after: list[bytes], found: list[bytes]) -> list[bytes] | None:
    """`found` with all that differs between `before` and `after` as in `before`; None where such a
    line, or one beside it, was edited."""
    place = _places(after, found)
    merged, done = list[bytes](), 0
    for tag, begin, end, first, last in _opcodes(after, before):
        if tag == "equal":
            continue
        around = [place.get(line) for line in range(begin - 1, end + 1)]
        start = around[0]
        if start is None or around != list(range(start, start + len(around))):
            return None
        merged += found[done : start + 1] + before[first:last]
        done = start + len(around) - 1
    return merged + found[done:]


def _places(after: list[bytes], found: list[bytes]) -> dict[int, int]:
    """Where each line of `after` is in `found`; before the first and behind the last one, too."""
    place = {-1: -1, len(after): len(found)}
    for tag, begin, end, first, _ in _opcodes(after, found):
        if tag == "equal":
            place.update((line, first + line - begin) for line in range(begin, end))
    return place


def _opcodes(one: list[bytes], other: list[bytes]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()


def _lines(content: bytes | None) -> list[bytes]:
    return (content or b"").splitlines(keepends=True)
