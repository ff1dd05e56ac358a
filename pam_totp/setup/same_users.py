# SPDX-License-Identifier: MIT
"""Whether a service accepts the same users before and after a change, by both stacks side by side.
Pure."""

from collections.abc import Iterator, Sequence
from functools import partial

from pam_totp.setup.fault import Fault
from pam_totp.setup.new_lines import BESIDE_OURS, answer_of_ours, shown
from pam_totp.setup.replay import Difference, differences
from pam_totp.stack.credentials import credential_meanings
from pam_totp.stack.dispatch import jump_is_ok
from pam_totp.stack.factors import meanings
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, RETURN_VALUES, SUCCESS, USER_UNKNOWN, Libpam
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import answered, of_others
from pam_totp.stack.service import Service

# Of another module that asks for codes: accepted, no secret there (as its options say), refused.
OF_OTHERS = (SUCCESS, IGNORE, USER_UNKNOWN, AUTH_ERR)


def of_credentials(
    before: Service, after: Service, libpam: Libpam, of_keys: Sequence[int]
) -> Iterator[Fault]:
    """Whom sshd refuses after all, in the process where it sets credentials. of_keys: what the line
    for public keys returns."""
    lines = before.stacks["auth"], after.stacks["auth"]
    for of_key in of_keys:
        answer = partial(answer_of_ours, of_code=SUCCESS, of_key=of_key, of_combined=SUCCESS)
        answer = partial(answer, of_also=SUCCESS)
        for each in differences(
            *lines, credential_meanings, answer, jump_counts=jump_is_ok(libpam)
        ):
            if each.is_lost:
                what = "after the code, setting credentials would fail (pam_setcred)"
                yield Fault(what, _of_difference(each))


def of_passwords(before: Sequence[Line], after: Sequence[Line]) -> Iterator[Fault]:
    """Users who log in with a password: whom the stack accepts today, and nobody else."""
    for of_code, of_also, words in (
        (SUCCESS, AUTH_ERR, "a correct code"),
        (IGNORE, AUTH_ERR, "no code needed"),
        (AUTH_ERR, SUCCESS, "a security key or a fingerprint"),
    ):
        if of_also == SUCCESS and (_modules(after) - _modules(before)).isdisjoint(BESIDE_OURS):
            continue
        answer = partial(answer_of_ours, of_code=of_code, of_key=AUTH_ERR, of_also=of_also)
        for value in OF_OTHERS if of_others(before) else (SUCCESS,):
            # A code that ours accepts stands for theirs. Where their line goes, ours decides alone.
            is_proved = SUCCESS in (of_code, of_also)
            may_gain = value != SUCCESS and (is_proved or not of_others(after))
            stacks = answered(before, value), answered(after, value)
            for each in differences(*stacks, meanings, answer):
                if each.is_lost or not may_gain:
                    yield _fault(each, words)


def _modules(lines: Sequence[Line]) -> set[str]:
    return {line.module_name for line in lines}


def _fault(difference: Difference, words: str) -> Fault:
    what = f"with {words}, users who can log in today would be refused"
    if not difference.is_lost:
        what = f"with {words}, users who are refused today could log in"
    return Fault(what, _of_difference(difference))


def _of_difference(difference: Difference) -> tuple[str, ...]:
    return tuple(
        f"{shown(line)} returns {RETURN_VALUES[value]}" for line, value in difference.lines
    )
