# SPDX-License-Identifier: MIT
"""What must hold of a service before codes are turned on at it, by the model of its stacks. Pure.

- There MUST be no way in without a code, or without a rule that spares the user the code. Root's
  own `su` is the one exception.
- A code MUST be asked for only after the first factor was proved, and never after a wrong one.
- Whoever got in before with a first factor MUST get in with it and the code, and nobody else.
- Nobody MUST be asked for two codes. Where another module asks for codes, ours stands for one.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

from pam_totp.setup.new_lines import answer_of_ours, shown
from pam_totp.setup.replay import Difference, differences
from pam_totp.setup.too_early import codes_too_early
from pam_totp.stack.credentials import credential_meanings
from pam_totp.stack.dispatch import jump_is_ok
from pam_totp.stack.factors import CODE, KEY, NO_CODE_NEEDED, ROOT, meanings
from pam_totp.stack.libpam import (
    AUTH_ERR,
    IGNORE,
    RETURN_VALUES,
    SUCCESS,
    USER_UNKNOWN,
    Libpam,
    Unknown,
)
from pam_totp.stack.lines import TYPES, Line
from pam_totp.stack.other_codes import answered, asked_twice, is_code_of_others, of_others
from pam_totp.stack.service import Service
from pam_totp.stack.stack_faults import RUN_BY_USERS
from pam_totp.stack.ways_in import Way, all_ways, ways_in

KEY_OR_PASSWORD, PASSWORD_ONLY, KEY_ONLY = "either", "password", "key"


# Of another module that asks for codes: accepted, no secret there (as its options say), refused.
OF_OTHERS = (SUCCESS, IGNORE, USER_UNKNOWN, AUTH_ERR)


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why codes cannot be turned on: a sentence, and the lines that lead there.

    is_open: it is a way in without a code; else somebody would be refused, or asked too early.
    culprit: the line that would have to be another one, if one is to blame.
    """

    what: str
    lines: tuple[str, ...] = ()
    is_open: bool = False
    culprit: Line | None = None

    @property
    def words(self) -> str:
        """The sentence, with the last of the lines."""
        return "; ".join([self.what, *self.lines[-2:]])


def prove(
    before: Service, after: Service, libpam: Libpam, first_factor: str = PASSWORD_ONLY
) -> list[Fault]:
    """The faults of a service as it would be; none: it is proved.

    first_factor: what the service is to accept: a key as well or alone only for sshd.
    """
    try:
        if after.refused:
            return [Fault(after.refused)]
        known = {line.fault for kind in TYPES for line in before.stacks[kind]}
        found = [line for kind in TYPES for line in after.stacks[kind] if line.fault not in known]
        if any(line.fault for line in found):
            return [Fault(f"{shown(line)} {line.fault}") for line in found if line.fault]
        return [
            *_without_code(after),
            *_too_early(after),
            *_twice(after),
            *_replayed(before, after, libpam, first_factor),
            *_keys(after, first_factor),
            *_other_types(before, after),
        ]
    except Unknown as unknown:
        return [Fault(f"what PAM would do cannot be determined: {unknown}")]


def without_passwords(service: Service, first_factor: str) -> Iterator[Fault]:
    """Whether a password and the code are enough, where they have to be."""
    if first_factor != KEY_ONLY:
        ways = [way.proved for way in all_ways(service.stacks["auth"]) if KEY not in way.proved]
        if not any(CODE in proved for proved in ways):
            yield Fault("a password and the code would not be enough")


def is_asking(line: Line) -> bool:
    """Whether this line asks for a code, or verifies one that was typed with the password."""
    return CODE in meanings(line).values()


def _without_code(after: Service) -> Iterator[Fault]:
    for way in ways_in(after):
        if CODE in way.proved or NO_CODE_NEEDED in way.proved:
            continue
        if ROOT in way.proved and after.name in RUN_BY_USERS:
            continue
        yield Fault(
            f"{way.words} would be enough, without a code", _of_way(way), True, way.steps[-1].line
        )


def _of_way(way: Way) -> tuple[str, ...]:
    several = {step: " or the like" * (len(step.results) > 1) for step in way.steps}
    return tuple(f"{shown(s.line)} returns {s.results[0]}{several[s]}" for s in way.steps)


def _too_early(after: Service) -> Iterator[Fault]:
    for line, refused in codes_too_early(after.stacks["auth"], is_asking):
        what = "even after a wrong password" if refused else "before a first factor was proved"
        lines = [shown(each) + (" goes on" if each != line else "") for each in (*refused, line)]
        culprit = refused[0] if refused else None
        yield Fault(f"a code would be asked for {what}", tuple(lines), culprit=culprit)


def _twice(after: Service) -> Iterator[Fault]:
    for line in asked_twice(after.stacks["auth"]):
        yield Fault("users would be asked for two codes", (shown(line),), culprit=line)


def _replayed(
    before: Service, after: Service, libpam: Libpam, first_factor: str
) -> Iterator[Fault]:
    lines = before.stacks["auth"], after.stacks["auth"]
    if first_factor != KEY_ONLY:
        yield from _accepted(*lines)
    for of_key in {KEY_ONLY: [SUCCESS], PASSWORD_ONLY: [AUTH_ERR]}.get(
        first_factor, [SUCCESS, AUTH_ERR]
    ):
        answer = partial(answer_of_ours, of_code=SUCCESS, of_key=of_key, of_combined=SUCCESS)
        for each in differences(
            *lines, credential_meanings, answer, jump_counts=jump_is_ok(libpam)
        ):
            if each.is_lost:
                what = "after the code, setting credentials would fail (pam_setcred)"
                yield Fault(what, _of_difference(each))


def _accepted(before: Sequence[Line], after: Sequence[Line]) -> Iterator[Fault]:
    for of_code, words in ((SUCCESS, "a correct code"), (IGNORE, "no code needed")):
        answer = partial(answer_of_ours, of_code=of_code, of_key=AUTH_ERR)
        for value in OF_OTHERS if of_others(before) else (SUCCESS,):
            # A code that ours accepts stands for theirs. Where their line goes, ours decides alone.
            may_gain = value != SUCCESS and (of_code == SUCCESS or not of_others(after))
            stacks = answered(before, value), answered(after, value)
            for each in differences(*stacks, meanings, answer):
                if each.is_lost or not may_gain:
                    yield _fault(each, words)


def _fault(difference: Difference, words: str) -> Fault:
    what = f"with {words}, users who can log in today would be refused"
    if not difference.is_lost:
        what = f"with {words}, users who are refused today could log in"
    return Fault(what, _of_difference(difference))


def _of_difference(difference: Difference) -> tuple[str, ...]:
    return tuple(
        f"{shown(line)} returns {RETURN_VALUES[value]}" for line, value in difference.lines
    )


def _keys(after: Service, first_factor: str) -> Iterator[Fault]:
    if first_factor == PASSWORD_ONLY:
        return
    ways = {
        frozenset(each for each in way.proved if not is_code_of_others(each))
        for way in all_ways(after.stacks["auth"])
    }
    for last in (CODE, NO_CODE_NEEDED):
        if frozenset({KEY, last}) not in ways:
            yield Fault(f"a key and {last.words} would not be enough")


def _other_types(before: Service, after: Service) -> Iterator[Fault]:
    for kind in TYPES[1:]:
        if _known(before.stacks[kind]) != _known(after.stacks[kind]):
            yield Fault(f"the lines for '{kind}' would not be the same")


def _known(lines: Sequence[Line]) -> list[Line]:
    """The lines without where they stand."""
    return [dataclasses.replace(line, file="", number=0) for line in lines]
