# SPDX-License-Identifier: MIT
"""Shell patterns: *, ? and [...] as Python's fnmatch.fnmatchcase has them. Pure.

Nothing quotes them (a backslash is itself: DOMAIN\\user), only ! negates, there are no classes.

The standard library's fnmatch goes through re, which would cost a login 8 ms.
"""

_SPECIAL = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Whether the text can match anything but itself."""
    return not _SPECIAL.isdisjoint(text)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches. Takes at most len(pattern) * len(text) steps."""
    at, position = 0, 0
    star, star_position = -1, 0  # the latest *, and where what follows it was tried last
    while position < len(text):
        length = 0
        if at < len(pattern):
            if pattern[at] == "*":
                star, star_position = at, position
                at += 1
                continue
            length = _match_one(pattern, at, text[position])
        if length:
            at += length
            position += 1
        elif star >= 0:
            star_position += 1
            at, position = star + 1, star_position
        else:
            return False
    return not pattern[at:].strip("*")


def _match_one(pattern: str, at: int, character: str) -> int:
    """How long the part of the pattern at `at` is that takes this character; 0: it does not."""
    first = pattern[at]
    if first == "?":
        return 1
    if first != "[":
        return int(first == character)
    begin = at + 2 if pattern[at + 1 : at + 2] == "!" else at + 1
    end = pattern.find("]", begin + 1)  # one that comes first is a member
    if end < 0:
        return int(first == character)
    found, member = False, begin
    while member < end:
        if member + 2 < end and pattern[member + 1] == "-":
            found |= pattern[member] <= character <= pattern[member + 2]
            member += 3
        else:
            found |= pattern[member] == character
            member += 1
    return end + 1 - at if found != (begin == at + 2) else 0
