# SPDX-License-Identifier: MIT
"""Every way through a stack: not every combination of results, but of what the results do.

Results that do the same in a line are one group, and ways that come to the same state are one way
from there on (dispatch.State), so the search grows with the states and not with the ways.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence

from pam_totp.stack import dispatch
from pam_totp.stack.control import Action
from pam_totp.stack.dispatch import State
from pam_totp.stack.libpam import AUTH_ERR, INCOMPLETE, RETURN_VALUES, SUCCESS, Unknown
from pam_totp.stack.lines import Line

MAX_STATES = 5000


class TooManyWays(Unknown):
    """A stack that takes too long to follow. Nothing is proved of it."""

    def __init__(self) -> None:
        super().__init__("there are too many ways to follow")


@dataclasses.dataclass(frozen=True)
class Group:
    """Results that do the same in a line. values: the numbers of RETURN_VALUES; meaning: what else
    they have in common."""

    action: Action
    values: tuple[int, ...]
    meaning: Hashable = None

    @property
    def example(self) -> int:
        """One of them; the same in most lines, so that few states differ in it alone."""
        return AUTH_ERR if AUTH_ERR in self.values else self.values[0]


Edges = dict[State, tuple[tuple[Group, State], ...]]
# What a line's module can return, each with what it means.
Meanings = Callable[[Line], Mapping[int, Hashable]]


def every_value(line: Line) -> Mapping[int, Hashable]:
    """All that PAM knows; a module that returns anything else has refused."""
    return dict.fromkeys(range(len(RETURN_VALUES)))


def groups_of(line: Line, meanings: Meanings = every_value) -> tuple[Group, ...]:
    """The groups of a line, that of success first."""
    values = meanings(line) if line.always is None else {line.always: None}
    grouped: dict[tuple[Hashable, ...], list[int]] = {}
    for value, meaning in sorted(values.items()):
        action = "incomplete" if value == INCOMPLETE else line.actions[value]
        # The stack returns what an `ok` line returned: only success is success.
        is_success = value == SUCCESS and action not in ("bad", "die", "ignore", "reset")
        grouped.setdefault((action, is_success, meaning), []).append(value)
    return tuple(
        Group(line.actions[each[0]], tuple(each), meaning)
        for (_, _, meaning), each in grouped.items()
    )


def edges_of(
    lines: Sequence[Line], meanings: Meanings = every_value, jump_counts: bool = False
) -> Edges:
    """From each state that a stack can come to, what each group of results leads to; the states in
    the order of the lines.

    As pam_authenticate runs it, or pam_setcred in a fresh handle if the meanings are of what the
    modules return to that; jump_counts then is what dispatch.jump_is_ok says. Raises TooManyWays.
    """
    groups = [() if line.is_substack else groups_of(line, meanings) for line in lines]
    edges: dict[State, tuple[tuple[Group, State], ...]] = {}
    waiting = [dispatch.start(lines)]
    while waiting:
        state = waiting.pop()
        if state in edges:
            continue
        if len(edges) >= MAX_STATES:
            raise TooManyWays
        here = groups[state.at] if state.at < len(lines) else ()
        edges[state] = tuple((group, _after(lines, state, group, jump_counts)) for group in here)
        waiting += [after for _, after in edges[state]]
    return dict(sorted(edges.items(), key=lambda edge: edge[0].at))


def _after(lines: Sequence[Line], state: State, group: Group, jump_counts: bool) -> State:
    value = group.example
    if value == INCOMPLETE:  # the stack ends at once
        return State(len(lines), dispatch.NEGATIVE, INCOMPLETE, ())
    return dispatch.step(lines, state, value, value, jump_counts)


def values_of(edges: Edges) -> set[int]:
    """What the stack can return; a refusal by the example of its group."""
    return {dispatch.value_of(state) for state, ways in edges.items() if not ways}


def that_succeed(edges: Edges) -> set[State]:
    """The states from which the stack can still return PAM_SUCCESS."""
    found: set[State] = set()
    for state, ways in reversed(edges.items()):
        is_end = not ways and dispatch.value_of(state) == SUCCESS
        if is_end or any(after in found for _, after in ways):
            found.add(state)
    return found
