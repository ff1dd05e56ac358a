# SPDX-License-Identifier: MIT
"""What must hold of a service before codes are turned on at it, by the model of its stacks. Pure.

- There MUST be no way in without a code, or without a rule that spares the user the code. Root's
  own `su` is the one exception.
- A code MUST be asked for only after the first factor was proved, and never after a wrong one.
- Whoever got in before with a first factor MUST get in with it and the code, and nobody else.
- Nobody MUST be asked for two codes. Where another module asks for codes, ours stands for one.
- A security key or a fingerprint MUST stand for a code only where that is wanted, and after a
  password.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from pam_totp.setup.fault import Fault
from pam_totp.setup.new_lines import shown
from pam_totp.setup.same_users import of_credentials, of_passwords
from pam_totp.setup.too_early import codes_too_early
from pam_totp.stack.factors import (
    CODE,
    KEY,
    NO_CODE_NEEDED,
    PASSWORD,
    ROOT,
    Factor,
    meanings,
)
from pam_totp.stack.libpam import (
    AUTH_ERR,
    SUCCESS,
    Libpam,
    Unknown,
)
from pam_totp.stack.lines import TYPES, Line
from pam_totp.stack.other_codes import asked_twice, is_code_of_others
from pam_totp.stack.service import Service
from pam_totp.stack.stack_faults import RUN_BY_USERS
from pam_totp.stack.ways_in import Way, all_ways, ways_in

KEY_OR_PASSWORD, PASSWORD_ONLY, KEY_ONLY = "either", "password", "key"


def prove(
    before: Service,
    after: Service,
    libpam: Libpam,
    first_factor: str = PASSWORD_ONLY,
    also: Collection[Factor] = (),
) -> list[Fault]:
    """The faults of a service as it would be; none: it is proved.

    first_factor: what the service is to accept: a key as well or alone only for sshd. also: what
    may stand for the code after a password.
    """
    try:
        if after.refused:
            return [Fault(after.refused)]
        known = {line.fault for kind in TYPES for line in before.stacks[kind]}
        found = [line for kind in TYPES for line in after.stacks[kind] if line.fault not in known]
        if any(line.fault for line in found):
            return [Fault(f"{shown(line)} {line.fault}") for line in found if line.fault]
        return [
            *_without_code(after, also),
            *_too_early(after, also),
            *_twice(after),
            *_same_users(before, after, libpam, first_factor),
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


def _without_code(after: Service, also: Collection[Factor]) -> Iterator[Fault]:
    for way in ways_in(after):
        if CODE in way.proved or NO_CODE_NEEDED in way.proved:
            continue
        if PASSWORD in way.proved and not {*also}.isdisjoint(way.proved):
            continue
        if ROOT in way.proved and after.name in RUN_BY_USERS:
            continue
        yield Fault(
            f"{way.words} would be enough, without a code", _of_way(way), True, way.steps[-1].line
        )


def _of_way(way: Way) -> tuple[str, ...]:
    several = {step: " or the like" * (len(step.results) > 1) for step in way.steps}
    return tuple(f"{shown(s.line)} returns {s.results[0]}{several[s]}" for s in way.steps)


def _too_early(after: Service, also: Collection[Factor]) -> Iterator[Fault]:
    def asks(line: Line) -> bool:
        return is_asking(line) or not {*also}.isdisjoint(meanings(line).values())

    for line, refused in codes_too_early(after.stacks["auth"], asks):
        what = "even after a wrong password" if refused else "before a first factor was proved"
        lines = [shown(each) + (" goes on" if each != line else "") for each in (*refused, line)]
        culprit = refused[0] if refused else None
        yield Fault(f"a code would be asked for {what}", tuple(lines), culprit=culprit)


def _twice(after: Service) -> Iterator[Fault]:
    for line in asked_twice(after.stacks["auth"]):
        yield Fault("users would be asked for two codes", (shown(line),), culprit=line)


def _same_users(
    before: Service, after: Service, libpam: Libpam, first_factor: str
) -> Iterator[Fault]:
    of_keys = {KEY_ONLY: [SUCCESS], PASSWORD_ONLY: [AUTH_ERR]}
    if first_factor != KEY_ONLY:
        yield from of_passwords(before.stacks["auth"], after.stacks["auth"])
    yield from of_credentials(before, after, libpam, of_keys.get(first_factor, [SUCCESS, AUTH_ERR]))


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
