# SPDX-License-Identifier: MIT
"""Users on their way from another program to this one: where each has a secret."""

import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence

from pam_totp.access.decision import UNENROLLED
from pam_totp.access.facts import state_of
from pam_totp.enrollment.other_secrets import USERS_FILE, of_google, of_oath
from pam_totp.records.config.settings import load
from pam_totp.records.user import enforced
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.rules.reasons import Failure
from pam_totp.setup.beside import BESIDE, INSTEAD, Choice
from pam_totp.setup.people import Refused, who_logs_in
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import of_others, program_of, refuses_strangers
from pam_totp.stack.service import Service

GOOGLE_FILE = ("~/.google_authenticator", "${HOME}/.google_authenticator")


def left_behind(choices: Mapping[str, Choice], refused: Sequence[Refused]) -> list[str]:
    """Users who are asked for a code today, by a line that goes, and for none then. refused: those
    who could not log in. Raises Error."""
    found = set[str]()
    for name, line in _lines(choices, INSTEAD):
        shut = {each.user for each in refused if name in each.services}
        found |= {user for user, here, there in secrets(line) if there and not here} - shut
    return sorted(found)


def refused_by_both(choices: Mapping[str, Choice]) -> Iterator[Refused]:
    """Users of whom ours needs no code, and whom the other line refuses. Raises Error."""
    for name, line in _lines(choices, BESIDE):
        for user, here, there in secrets(line) if refuses_strangers(line) else ():
            if not here and not there:
                why = f"has a secret neither here nor of {program_of(line)}"
                yield Refused(user, (name,), why)


def strangers_to(service: Service) -> Iterator[str]:
    """A sentence where the line of another module, without ours, refuses users of whom ours accepts
    a code. Raises Error."""
    for line in filter(refuses_strangers, of_others(service.stacks["auth"])):
        names = [user for user, here, there in secrets(line) if here and not there]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            why = f"without a secret of {program_of(line)}"
            yield f"{service.name}: {names[0]}{more} would be refused, {why} ({line.place})"


def of_unknown(choices: Mapping[str, Choice]) -> Iterator[str]:
    """A sentence where it cannot be told who has a secret of the other program."""
    for how in (BESIDE, INSTEAD):
        for _, line in _lines(choices, how):
            if _is_elsewhere(line):
                yield (
                    f"{line.place} has files of its own, so it is not known here which "
                    f"users have one: compare them with `pam-totp users`."
                )


def secrets(line: Line) -> Iterator[tuple[str, bool, bool]]:
    """Each user who may log in, whether ours decides about the user (else no code is asked for),
    and whether the other line knows the user. Nobody where that is not known. Raises Error."""
    if _is_elsewhere(line):
        return
    is_there, active = _looking_at(line), load()

    def look(account: pwd.struct_passwd) -> tuple[bool, bool]:
        is_enforced = enforced.is_set(account.pw_uid)
        try:
            state = state_of(account, active, is_enforced=is_enforced)
        except Failure:
            return True, is_there(account)  # which refuses the login
        return state != UNENROLLED, is_there(account)

    for account, answer in each_in_time(who_logs_in(), look):
        if answer is not NO_ANSWER:  # else people.py says so
            yield account.pw_name, *answer


def _lines(choices: Mapping[str, Choice], how: str) -> Iterator[tuple[str, Line]]:
    """The first line of the other module at each service of this choice."""
    for name, choice in choices.items():
        if choice.how == how and choice.line is not None:
            yield name, choice.line


def _looking_at(line: Line) -> Callable[[pwd.struct_passwd], bool]:
    """What tells whether the other line knows a user. Raises Error."""
    return of_oath(_users_file(line)) if program_of(line) == "oath" else of_google


def _users_file(line: Line) -> str:
    paths = [word[10:] for word in line.arguments if word.startswith("usersfile=")]
    return (paths or [USERS_FILE])[-1]


def _is_elsewhere(line: Line) -> bool:
    if program_of(line) == "oath":  # ${HOME} and ${USER} stand for those of the user
        return "${" in _users_file(line)
    files = [word[7:] for word in line.arguments if word.startswith("secret=")]
    return bool(files) and files[-1] not in GOOGLE_FILE
