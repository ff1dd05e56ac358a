# SPDX-License-Identifier: MIT
"""Every way to PAM_SUCCESS through a service's auth stack, by what was proved on it.

Over-careful on purpose: it does not know that two lines cannot both be true (a user who is both
root and not root), so it may list a way that nobody can take, and never leaves one out.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import cast

from pam_totp.stack.control import Action
from pam_totp.stack.dispatch import State, start
from pam_totp.stack.factors import Factor, meanings
from pam_totp.stack.libpam import RETURN_VALUES
from pam_totp.stack.lines import Line
from pam_totp.stack.search import Group, Meanings, TooManyWays, edges_of, that_succeed
from pam_totp.stack.service import Service

MAX_WAYS = 8_000

Proved = tuple[Factor, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """A line that was reached, and the results that go this way from it, by their names. at: the
    line's place in the stack; action: that is taken."""

    line: Line
    results: tuple[str, ...]
    at: int
    action: Action

    @property
    def words(self) -> str:
        """The line and what it returned, as text."""
        result = next((each for each in ("success", "ignore") if each in self.results), "a refusal")
        return f"{self.line.place}: {self.line.described}: {result}"


@dataclasses.dataclass(frozen=True)
class Way:
    """proved: in the order of the lines. steps: the shortest of the ways on which that is proved;
    empty for nothing to go through."""

    proved: Proved
    steps: tuple[Step, ...]

    @property
    def words(self) -> str:
        """What was proved, as text."""
        return words_of(self.proved)


def words_of(proved: Proved) -> str:
    """What was proved, as text."""
    shown = [f"{each.words} ({each.by})" if each.by else each.words for each in proved]
    return ", then ".join(shown) or "nothing"


def ways_in(service: Service, meanings_of: Meanings = meanings) -> tuple[Way, ...]:
    """The ways into a service: those on which least is proved first. meanings_of: what its lines
    can return, where more is known than `factors` knows. Raises TooManyWays."""
    lines = service.stacks["auth"]
    if not lines:
        return ()  # refused as a whole, or no module at all
    return _minimal(all_ways(lines, meanings_of))


@dataclasses.dataclass(frozen=True, slots=True)
class _Trace:
    """How a state is reached: by a group of results in the line before, after `before`."""

    proved: Proved = ()
    length: int = 0
    group: Group | None = None
    at: int = 0
    before: "_Trace | None" = None


def all_ways(lines: Sequence[Line], meanings_of: Meanings = meanings) -> list[Way]:
    """A way through a stack for each set of proofs. Raises TooManyWays."""
    shortest: dict[frozenset[Factor], _Trace] = {}
    for trace in sorted(_traces_to_success(lines, meanings_of), key=lambda each: each.length):
        shortest.setdefault(frozenset(trace.proved), trace)
    return [Way(trace.proved, _steps(lines, trace)) for trace in shortest.values()]


def _traces_to_success(lines: Sequence[Line], meanings_of: Meanings) -> list[_Trace]:
    """For each state at the end, the shortest for each set of proofs."""
    edges = edges_of(lines, meanings_of)
    useful = that_succeed(edges)
    reached: dict[State, dict[frozenset[Factor], _Trace]] = {state: {} for state in useful}
    reached.setdefault(start(lines), {})[frozenset()] = _Trace()
    count = 0
    for state in (each for each in edges if each in useful):
        # In the order of the lines, so that everything that leads here was seen before.
        steps = [(group, reached[after]) for group, after in edges[state] if after in useful]
        for trace, (group, there) in itertools.product(reached[state].values(), steps):
            found = _extended(trace, group, state.at)
            known = there.get(frozenset(found.proved))
            count += known is None
            if count > MAX_WAYS:
                raise TooManyWays
            if known is None or known.length > found.length:
                there[frozenset(found.proved)] = found
    ends = [state for state in useful if not edges[state]]
    return [trace for end in ends for trace in reached[end].values()]


def _extended(trace: _Trace, group: Group, at: int) -> _Trace:
    factor = cast("Factor | None", group.meaning)
    is_new = factor is not None and factor not in trace.proved
    proved = (*trace.proved, factor) if factor is not None and is_new else trace.proved
    return _Trace(proved, trace.length + 1, group, at, trace)


def _steps(lines: Sequence[Line], trace: _Trace) -> tuple[Step, ...]:
    steps = []
    while trace.group is not None and trace.before is not None:
        names = tuple(RETURN_VALUES[value] for value in trace.group.values)
        steps.append(Step(lines[trace.at], names, trace.at, trace.group.action))
        trace = trace.before
    return tuple(reversed(steps))


def _minimal(ways: Sequence[Way]) -> tuple[Way, ...]:
    """Without those that prove more than another does with the same lines; least proved first."""
    kept: list[Way] = []
    by_lines: dict[tuple[int, ...], list[frozenset[Factor]]] = {}
    for way in sorted(ways, key=lambda way: len(way.proved)):
        proved = frozenset(way.proved)
        less = by_lines.setdefault(tuple(step.at for step in way.steps), [])
        if not any(each < proved for each in less):
            less.append(proved)
            kept.append(way)
    return tuple(kept)
