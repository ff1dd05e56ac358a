# SPDX-License-Identifier: MIT
"""Two stacks side by side: what every login that the first accepts or refuses comes to in the
second, when the modules that they share return the same. Pure.

The lines of the second that the first does not have are answered for, by `added`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from pam_totp.stack import dispatch
from pam_totp.stack.dispatch import State
from pam_totp.stack.libpam import AUTH_ERR, INCOMPLETE, SUCCESS
from pam_totp.stack.lines import Line
from pam_totp.stack.search import Meanings, TooManyWays, groups_of

MAX_STATES = 20_000

Added = Callable[[Line], int]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """is_lost: the first stack accepts what the second refuses; else the second accepts more.
    lines: of the second, that were reached, each with what it returned."""

    is_lost: bool
    lines: tuple[tuple[Line, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Trace:
    """How two states are reached together."""

    states: tuple[State, State]
    before: "_Trace | None" = None
    line: Line | None = None
    value: int = 0


def differences(
    first: Sequence[Line],
    second: Sequence[Line],
    meanings: Meanings,
    added: Added,
    *,
    jump_counts: bool = False,
) -> list[Difference]:
    """At most one of each kind, the shortest first. Raises TooManyWays."""
    shared = pairs(first, second)
    begin = _Trace((dispatch.start(first), dispatch.start(second)))
    seen = {begin.states}
    waiting = [begin]
    found: dict[bool, Difference] = {}
    for trace in waiting:
        one, other = trace.states
        if one.at == len(first) and other.at == len(second):
            accepted = [dispatch.value_of(state) == SUCCESS for state in trace.states]
            # A stack in which nothing vouches for anybody refuses everybody, and means nobody.
            is_meant = one.impression != dispatch.UNDECIDED
            if accepted[0] != accepted[1] and is_meant:
                found.setdefault(accepted[0], Difference(accepted[0], _lines(trace)))
            continue
        for after in _next(first, second, shared, meanings, added, trace, jump_counts):
            if after.states not in seen:
                seen.add(after.states)
                waiting.append(after)
        if len(seen) > MAX_STATES:
            raise TooManyWays
    return list(found.values())


def _next(
    first: Sequence[Line],
    second: Sequence[Line],
    shared: dict[int, int],
    meanings: Meanings,
    added: Added,
    trace: _Trace,
    jump_counts: bool,
) -> Iterator[_Trace]:
    one, other = trace.states
    is_over = other.at == len(second)
    same = len(first) if is_over else shared.get(other.at, -1)
    if same == -1:
        line = second[other.at]
        value = added(line) if line.always is None else line.always
        after = dispatch.step(second, other, value, value, jump_counts)
        yield _Trace((one, after), trace, line, value)
        return
    runs_first = one.at <= same and one.at < len(first)
    runs_second = not is_over and same <= one.at
    running = [first[one.at]] if runs_first else []
    if runs_second:
        running.append(second[other.at])
    line = running[-1]
    for value in _values(running, meanings):
        states = (
            dispatch.step(first, one, value, value, jump_counts) if runs_first else one,
            dispatch.step(second, other, value, value, jump_counts) if runs_second else other,
        )
        yield _Trace(states, trace, line if runs_second else None, value)


def _values(lines: list[Line], meanings: Meanings) -> set[int]:
    """An example of each group of results that do the same in every one of these lines."""
    groups = [groups_of(line, meanings) for line in lines]
    found: dict[tuple[int, ...], int] = {}
    values = {value for group in groups[0] for value in group.values}
    # One is an example of most refusals, so that few states differ in the value alone.
    for value in sorted(values, key=lambda each: (each != AUTH_ERR, each)):
        if value != INCOMPLETE:  # else the application calls again, and the same is looked at then
            of_each = [
                next((n for n, group in enumerate(line_groups) if value in group.values), -1)
                for line_groups in groups
            ]
            found.setdefault(tuple(of_each), value)
    return set(found.values())


def _lines(trace: _Trace) -> tuple[tuple[Line, int], ...]:
    found = []
    while trace.before is not None:
        if trace.line is not None:
            found.append((trace.line, trace.value))
        trace = trace.before
    return tuple(reversed(found))


def pairs(first: Sequence[Line], second: Sequence[Line]) -> dict[int, int]:
    """The place in the first of each line that the second has too: a longest common part. A line is
    the same with another control and in another file."""
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for one in reversed(range(len(first))):
        for other in reversed(range(len(second))):
            lengths[one][other] = max(lengths[one + 1][other], lengths[one][other + 1])
            if _is_same(first[one], second[other]):
                lengths[one][other] = 1 + lengths[one + 1][other + 1]
    found, one, other = dict[int, int](), 0, 0
    while one < len(first) and other < len(second):
        if _is_same(first[one], second[other]):
            found[other] = one
            one, other = one + 1, other + 1
        elif lengths[one + 1][other] >= lengths[one][other + 1]:
            one += 1
        else:
            other += 1
    return found


def _is_same(one: Line, other: Line) -> bool:
    if one.is_substack or other.is_substack:
        return False  # which returns nothing
    keys = [(each.module, each.arguments, each.always) for each in (one, other)]
    return keys[0] == keys[1]
