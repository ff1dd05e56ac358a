# SPDX-License-Identifier: MIT
"""What still runs in a stack after a wrong password or an incorrect code. Pure."""

from collections.abc import Iterator, Sequence

from pam_totp.stack import totp_lines
from pam_totp.stack.dispatch import NEGATIVE, State, start
from pam_totp.stack.factors import PASSWORDS, meanings
from pam_totp.stack.lines import Line
from pam_totp.stack.search import Edges, edges_of

INCLUDE_IT = "replace 'auth substack' by '@include'"
# What refuses a wrong password, itself or after a jump.
REFUSING = frozenset({f"pam_{name}.so" for name in (*PASSWORDS, "deny")})


def reached_by_wrong_passwords(lines: Sequence[Line]) -> Iterator[str]:
    """For each line that asks: what before it refused a wrong password and did not end the stack.
    Raises TooManyWays."""
    edges = edges_of(lines, meanings)
    causes = _first_refusals(lines, edges)
    for at, line in enumerate(lines):
        if not totp_lines.asks(line):
            continue
        found = sorted({cause for state, cause in causes if state.at == at})
        refused = [cause for cause in found if lines[cause].module_name in REFUSING]
        for cause in dict.fromkeys(_outermost(lines, each, at) for each in refused):
            way_out = INCLUDE_IT if lines[cause].is_substack else "use requisite"
            yield (
                "a wrong password still reaches the pam_totp.so line, after "
                f"'{lines[cause].described}'; {way_out}"
            )


def _first_refusals(lines: Sequence[Line], edges: Edges) -> set[tuple[State, int]]:
    """Each state in which the stack refuses already, with the line that made it refuse."""
    found: set[tuple[State, int]] = set()
    waiting: list[tuple[State, int]] = [(start(lines), -1)]
    while waiting:
        state, cause = waiting.pop()
        for _, after in edges[state]:
            because = cause
            if after.impression != NEGATIVE:
                because = -1
            elif state.impression != NEGATIVE:
                because = state.at
            if because >= 0 and (after, because) not in found:
                found.add((after, because))
                waiting.append((after, because))
            elif because < 0 and (after, -1) not in found:
                found.add((after, -1))
                waiting.append((after, -1))
    return {(state, cause) for state, cause in found if cause >= 0}


def _outermost(lines: Sequence[Line], cause: int, at: int) -> int:
    """The line itself, or the substack around it that the line `at` is not in."""
    level = lines[cause].level
    outer = cause
    for before in range(cause, -1, -1):
        if lines[before].is_substack and lines[before].level < level:
            level = lines[before].level
            is_around = all(each.level > level for each in lines[before + 1 : at + 1])
            outer = outer if is_around else before
    return outer


def left_by_incorrect_codes(lines: Sequence[Line]) -> Iterator[str]:
    """A line that ends the stack (`die`) ends only the substack that it is in."""
    for at, line in enumerate(lines):
        if not (totp_lines.asks(line) and line.level and "die" in line.actions):
            continue
        mark = _outermost(lines, at, len(lines) - 1)
        level = lines[mark].level
        after = [
            each
            for each in lines[at + 1 :]
            if each.level <= level and each.control.lower() != "optional"
        ]
        if lines[mark].is_substack and after:
            what = f"'{after[0].described}' still runs after an incorrect code"
            yield f"{what} in '{lines[mark].described}'; {INCLUDE_IT}"
