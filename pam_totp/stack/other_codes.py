# SPDX-License-Identifier: MIT
"""Lines of other modules that ask for one-time codes, and how they get on with ours. Pure."""

import dataclasses
from collections.abc import Iterator, Sequence

from pam_totp.stack.dispatch import State, start
from pam_totp.stack.factors import Factor, meanings
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, SUCCESS, USER_UNKNOWN
from pam_totp.stack.lines import Line
from pam_totp.stack.search import Group, edges_of
from pam_totp.stack.totp_lines import asks

# Modules with the names that `pam-totp import` has for their programs.
PROGRAMS = {"pam_google_authenticator.so": "google-authenticator", "pam_oath.so": "oath"}
# What happened before a line: a code was asked for by ours, none was needed, theirs accepted one.
_ASKED, _NOT_NEEDED, _ACCEPTED = "asked", "not needed", "accepted"


def program_of(line: Line) -> str:
    """Whose codes a line asks for; empty for any line that is not of such a module."""
    return "" if line.is_substack else PROGRAMS.get(line.module_name, "")


def refuses_strangers(line: Line) -> bool:
    """Whether a line of such a module refuses users who have no secret of its program."""
    value = USER_UNKNOWN if line.module_name == "pam_oath.so" else AUTH_ERR
    if "nullok" in line.arguments:
        value = IGNORE
    return line.actions[value] in ("bad", "die")


def is_code_of_others(factor: Factor) -> bool:
    """Whether it is what such a line proves."""
    return f"{factor.by}.so" in PROGRAMS


def of_others(lines: Sequence[Line]) -> list[Line]:
    """Those that ask for codes of another module."""
    return [line for line in lines if program_of(line)]


def answered(lines: Sequence[Line], value: int) -> tuple[Line, ...]:
    """The stack for users to whom every other module returns this."""
    return tuple(
        dataclasses.replace(line, always=value)
        if program_of(line) and line.always is None
        else line
        for line in lines
    )


def asked_twice(lines: Sequence[Line]) -> list[Line]:
    """Lines that ask for a code of users who have entered one at another module before. Raises
    TooManyWays."""
    found = _reached(lines)
    theirs = {at for at, past in found if program_of(lines[at]) and _ASKED in past}
    ours = {at for at, past in found if asks(lines[at]) and _ACCEPTED in past}
    return [lines[at] for at in sorted(theirs | ours)]


def asking_instead(lines: Sequence[Line]) -> list[Line]:
    """Lines of other modules that are reached where ours needs no code, and only there. Raises
    TooManyWays."""
    found = [(at, past) for at, past in _reached(lines) if program_of(lines[at])]
    ways = {at: {past for other, past in found if other == at} for at, _ in found}
    return [lines[at] for at in sorted(ways) if all(_NOT_NEEDED in past for past in ways[at])]


def _reached(lines: Sequence[Line]) -> set[tuple[int, frozenset[str]]]:
    """The place of each line that is reached, with what happened before."""
    edges = edges_of(lines, meanings)
    begin: tuple[State, frozenset[str]] = (start(lines), frozenset())
    seen, waiting = {begin}, [begin]
    for state, past in waiting:
        for group, after in edges[state]:
            following = after, past.union(_happens(lines[state.at], group))
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return {(state.at, past) for state, past in seen if state.at < len(lines)}


def _happens(line: Line, group: Group) -> Iterator[str]:
    if asks(line):
        yield _NOT_NEEDED if group.values == (IGNORE,) else _ASKED
    elif program_of(line) and SUCCESS in group.values:
        yield _ACCEPTED
