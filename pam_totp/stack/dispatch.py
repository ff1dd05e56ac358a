# SPDX-License-Identifier: MIT
"""What a stack returns: _pam_dispatch_aux of Linux-PAM's libpam/pam_dispatch.c, a line at a time.

pam_authenticate freezes the chain: what each module returned then decides at pam_setcred, in the
same handle, which lines are run. In a handle where pam_authenticate was not called (sshd: another
process) each line acts on what its module returns to pam_setcred itself.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from pam_totp.stack.control import Action
from pam_totp.stack.libpam import (
    ABORT,
    IGNORE,
    INCOMPLETE,
    PERM_DENIED,
    RETURN_VALUES,
    SUCCESS,
    Libpam,
)
from pam_totp.stack.lines import Line

# What the stack makes of the lines so far.
UNDECIDED, POSITIVE, NEGATIVE = 0, 1, -1
NOT_FROZEN = -1  # pam_private.h, _PAM_INVALID_RETVAL

Results = Callable[[Line], int]


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Before a line, or at the end. saved: impression and status at the beginning of the stack and
    of each substack around the line."""

    at: int
    impression: int
    status: int
    saved: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """value: what the stack returns. reached: the places of the lines that were run, in order.
    frozen: what each of them returned, by place."""

    value: int
    reached: tuple[int, ...] = ()
    frozen: Mapping[int, int] = dataclasses.field(default_factory=dict)


def authenticate(lines: Sequence[Line], results: Results, libpam: Libpam) -> Outcome:
    """pam_authenticate; pam_acct_mgmt and pam_open_session do the same with their lines."""
    return _run(lines, results, None, libpam)


def setcred(
    lines: Sequence[Line], results: Results, libpam: Libpam, before: Outcome | None = None
) -> Outcome:
    """pam_setcred; before: of pam_authenticate in the same handle, None in a fresh one."""
    if before is not None and before.value == INCOMPLETE:
        return Outcome(ABORT)  # pam_authenticate has to be called again first
    return _run(lines, results, before.frozen if before else {}, libpam)


def _run(
    lines: Sequence[Line], results: Results, frozen: Mapping[int, int] | None, libpam: Libpam
) -> Outcome:
    state, reached = start(lines), list[int]()
    returned: dict[int, int] = {}
    while state.at < len(lines):
        at, line = state.at, lines[state.at]
        value = results(line) if line.always is None else line.always
        reached.append(at)
        if value == INCOMPLETE:
            return Outcome(INCOMPLETE, tuple(reached), returned)
        returned[at] = value
        decides = value
        if frozen is not None and frozen.get(at, NOT_FROZEN) != NOT_FROZEN:
            decides = frozen[at]
        state = step(lines, state, value, decides, frozen is not None and jump_is_ok(libpam))
    return Outcome(value_of(state), tuple(reached), returned)


def jump_is_ok(libpam: Libpam) -> bool:
    """Whether a jump counts as `ok` in pam_setcred; in pam_authenticate it never does."""
    return not libpam.is_debian


def start(lines: Sequence[Line]) -> State:
    """Before the first line."""
    return _arrive(lines, 0, UNDECIDED, PERM_DENIED, ((UNDECIDED, PERM_DENIED),))


def value_of(state: State) -> int:
    """What the stack returns at its end."""
    is_sane = state.status != SUCCESS or state.impression == POSITIVE
    return state.status if is_sane else PERM_DENIED


def step(
    lines: Sequence[Line], state: State, value: int, decides: int, jump_counts: bool = False
) -> State:
    """After the next line. value: what its module returned; decides: the value whose action is
    taken (another one only in a frozen chain); jump_counts: as `ok` too."""
    action: Action = "bad"
    if 0 <= decides < len(RETURN_VALUES):
        action = lines[state.at].actions[decides]
    else:
        value = PERM_DENIED
    impression, status = state.impression, state.status
    is_open = impression == UNDECIDED or (impression == POSITIVE and status == SUCCESS)
    counts = action in ("ok", "done") or (jump_counts and isinstance(action, int))
    after = state.at + 1
    if action == "reset":
        impression, status = state.saved[lines[state.at].level]
    elif counts and is_open and (value != IGNORE or decides == value):
        impression, status = POSITIVE, value
    elif action in ("bad", "die") and impression != NEGATIVE:
        impression, status = NEGATIVE, PERM_DENIED if value == IGNORE else value
    if action == "die" or (action == "done" and impression == POSITIVE):
        after = _end_of_level(lines, state.at)
    elif isinstance(action, int):
        after, left = _jump(lines, state.at, action)
        if left:
            impression, status = NEGATIVE, PERM_DENIED  # "bad jump in stack"
    return _arrive(lines, after, impression, status, state.saved)


def _arrive(
    lines: Sequence[Line],
    at: int,
    impression: int,
    status: int,
    saved: tuple[tuple[int, int], ...],
) -> State:
    """At the next line that is not the mark of a substack."""
    while at < len(lines):
        level = lines[at].level
        saved = (*saved, (impression, status)) if level >= len(saved) else saved[: level + 1]
        if not lines[at].is_substack:
            return State(at, impression, status, saved)
        at += 1
    return State(len(lines), impression, status, ())


def _end_of_level(lines: Sequence[Line], at: int) -> int:
    """The place after the stack or substack that a line is in."""
    level = lines[at].level
    return next((n for n in range(at + 1, len(lines)) if lines[n].level < level), len(lines))


def _jump(lines: Sequence[Line], at: int, count: int) -> tuple[int, int]:
    """The place after `count` more lines, of which a substack is one, and how many there are not:
    a jump cannot leave a substack."""
    level, after = lines[at].level, at + 1
    while count and after < len(lines) and lines[after].level >= level:
        after += 1
        while after < len(lines) and lines[after].level > level:
            after += 1
        count -= 1
    return after, count
