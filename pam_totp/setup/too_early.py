# SPDX-License-Identifier: MIT
"""The lines at which a stack asks for a code though no first factor was proved. Pure."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import cast

from pam_totp.stack.dispatch import State, start
from pam_totp.stack.factors import CODE, KEY, NO_CODE_NEEDED, NOT_KNOWN, ROOT, Factor, meanings
from pam_totp.stack.libpam import INCOMPLETE, NEW_AUTHTOK_REQD, SUCCESS
from pam_totp.stack.lines import Line
from pam_totp.stack.search import Group, edges_of

RIGHT = {SUCCESS, NEW_AUTHTOK_REQD}  # the second: right, and expired


@dataclasses.dataclass(frozen=True, slots=True)
class _Reached:
    """A state, whether a first factor was proved on the way to it, the place of the last line that
    refused one, or the login (-1: none), and whether a wrong one has refused the login."""

    state: State
    is_proved: bool = False
    refused_at: int = -1
    is_lost: bool = False


def codes_too_early(
    lines: Sequence[Line], is_asking: Callable[[Line], bool]
) -> list[tuple[Line, tuple[Line, ...]]]:
    """Each such line, with the line that goes on after a wrong first factor, if that leads there.
    Raises TooManyWays."""
    edges = edges_of(lines, meanings)
    proving = [any(_is_first(factor) for factor in meanings(line).values()) for line in lines]
    asks_a_person = [not {KEY, ROOT} & {*meanings(line).values()} for line in lines]
    begin = _Reached(start(lines))
    seen, waiting = {begin}, [begin]
    found: dict[int, tuple[Line, tuple[Line, ...]]] = {}
    for here in waiting:
        at = here.state.at
        if at == len(lines):
            continue
        if is_asking(lines[at]) and (here.is_lost or not here.is_proved):
            refused = (lines[here.refused_at],) if here.refused_at >= 0 else ()
            found.setdefault(at, (lines[at], refused))
        for group, state in edges[here.state]:
            is_refusal = group.action in ("bad", "die")
            proves = _proves(group) or (proving[at] and {*group.values} <= RIGHT)
            is_wrong = proving[at] and not proves
            goes_on = (is_wrong and asks_a_person[at]) or (is_refusal and not here.is_proved)
            after = _Reached(
                state,
                here.is_proved or proves,
                at if goes_on else here.refused_at,
                here.is_lost or (is_wrong and is_refusal),
            )
            if group.values != (INCOMPLETE,) and after not in seen:
                seen.add(after)
                waiting.append(after)
    return list(found.values())


def _proves(group: Group) -> bool:
    factor = cast("Factor | None", group.meaning)
    # A module that is not known proves something at most when it succeeds.
    return _is_first(factor) and (factor != NOT_KNOWN or SUCCESS in group.values)


def _is_first(factor: Factor | None) -> bool:
    return factor not in (None, CODE, NO_CODE_NEEDED)
