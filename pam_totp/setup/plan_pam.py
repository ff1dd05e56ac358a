# SPDX-License-Identifier: MIT
"""What has to change in /etc/pam.d so that services ask for codes: planned, and proved.

- A file that libpam refuses, or that cannot be read to its end, MUST be left alone.
- What a change reaches through other files MUST be proved as well, and be named.
"""

import dataclasses
import os
import shlex
from collections.abc import Iterator

from pam_totp.errors import Error, UsageError
from pam_totp.review.one_prompt import EXAMPLE, ONE_PROMPT
from pam_totp.setup import beside
from pam_totp.setup.also import NOTHING_ALSO, Also, refuse_where_it_cannot_be_asked
from pam_totp.setup.also import choose as choose_also
from pam_totp.setup.also import notes as notes_also
from pam_totp.setup.beside import NOTHING_TOLD, Choice
from pam_totp.setup.block import choice_of
from pam_totp.setup.by_hand import added_by_hand
from pam_totp.setup.edits import edits, tops_of
from pam_totp.setup.host import PAM_DIR, PamHost, group_of, is_empty
from pam_totp.setup.kinds import LOCKERS, UNATTENDED, is_known, is_shared
from pam_totp.setup.layouts import refusing_faults
from pam_totp.setup.new_lines import CODE_LINE
from pam_totp.setup.places import before_as_on_disk
from pam_totp.setup.proof import (
    KEY_ONLY,
    PASSWORD_ONLY,
    is_asking,
)
from pam_totp.setup.reached import (
    NOT_KNOWN,
    Plan,
    first_proved,
    notes_of_edits,
    own_lines,
    plan_reached,
    refuse_linked,
)
from pam_totp.setup.service_names import no_service
from pam_totp.stack.files import File, file_of
from pam_totp.stack.libpam import SUCCESS, Unknown


def plan(
    host: PamHost,
    names: list[str],
    first_factor: str = PASSWORD_ONLY,
    told: Choice = NOTHING_TOLD,
    also: Also = NOTHING_ALSO,
) -> Plan:
    """Plans all of these services; host.changes() has the files then. told: what becomes of the
    lines of another module. also: what is to stand beside the code. Raises Error."""
    found = Plan(services=list(names))
    for name in names:
        _check_kind(name)
    try:
        for name in names:
            if also.kinds:
                refuse_where_it_cannot_be_asked(host, name)
        for name in names:
            first = first_factor if name == "sshd" else PASSWORD_ONLY
            _plan_service(host, name, first, told, also, found)
        if told and told not in found.choices.values():
            message = f"{', '.join(names)}: no line asks for codes of {told.program}"
            raise UsageError(message, shlex.join(["pam-totp", "enable", *names]))
        plan_reached(host, found)
        found.notes += [note for name in found.services for note in _notes(host, name)]
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", f"ls -l {PAM_DIR}") from None
    return found


def _check_kind(name: str) -> None:
    if "/" in name or not name or name.startswith("."):
        raise UsageError(f"{name!a} is not the name of a service", f"ls {PAM_DIR}")
    if name == "pam-totp":
        message = (
            "pam-totp is the service by which 'pam-totp enroll' checks passwords, and no login"
        )
        raise Error(message, "pam-totp enable sshd")
    if is_shared(name):
        message = f"{name} is included by other services, so a line in it would reach all of them"
        raise Error(message, "name the services, such as: pam-totp enable sshd login su sudo")
    if name in UNATTENDED:
        raise Error(f"{name} is no login that somebody could answer", "pam-totp enable sshd")
    if name in ONE_PROMPT:
        message = (
            f"{name} has one prompt only, so the code can only be typed right after the password; "
            "enable does not set this up"
        )
        raise Error(message, f"see {EXAMPLE}")


def _plan_service(
    host: PamHost, name: str, first_factor: str, told: Choice, also: Also, found: Plan
) -> None:
    file = host.file_of(name)
    if file is None:
        raise no_service(name)
    spelled = f"{PAM_DIR}/{name}"
    path = host.real(spelled)
    if path in host.would_be:
        return
    if name in LOCKERS:
        refuse_linked(host, name)
    mark = choice_of(file.content)
    copied = mark[mark.find(" (copied") :] if " (copied" in mark else ""
    if file.path != spelled:
        copied = f" (copied from {file.path})"
        found.notes.append(f"{path} is made as a copy of {file.path}, and is used in its place.")
        host.plain[path] = file.content
    found.notes += notes_of_edits(path, file.content)
    plain = host.take_ours_out(path, file.content)
    file = file_of(spelled, plain, host.libpam)
    before = host.before(name)
    faults = refusing_faults(before_as_on_disk(host, before))
    if faults:
        raise Error(f"{faults[0]}; nothing was changed", f"pam-totp explain root --service {name}")
    other = _comes_from(host, file)
    if other and name not in LOCKERS:
        host.plain.pop(path)
        found.notes.append(
            f"{path} includes {other}, so {other} is changed, and {name} asks for a code, too."
        )
        _plan_service(host, other, PASSWORD_ONLY, told, also, found)
        return
    if any(is_asking(line) for line in before.stacks["auth"]):
        added_by_hand(host, before, first_factor, told, also, found)
        host.plain.pop(path)
        return
    if name in LOCKERS:
        host.would_be[path] = own_lines(host, name, file, "combined")
        return
    choice = beside.choose(host, before, path, told, mark)
    kinds = choose_also(host, before, also, mark)
    if choice.how == beside.BESIDE and kinds.kinds:
        raise _asks_twice(name, choice)
    if kinds.kinds:
        found.also[name] = kinds
        found.notes += notes_also(name, kinds, also)
    note = ("code" if name != "sshd" else first_factor) + choice.mark + kinds.mark + copied
    lines, count = before.stacks["auth"], host.count_for(spelled)
    if choice:
        found.choices[name] = choice
        found.notes += beside.notes(name, choice, told)
        code_lines = kinds.lines if kinds.kinds else [CODE_LINE]
        candidates = beside.edits(choice, file, lines, first_factor, note, count, code_lines)
        edit = first_proved(host, name, before, path, candidates, first_factor, kinds.factors)
        host.would_be[path] = edit.after
        return
    if kinds.kinds:
        candidates = edits(file, lines, first_factor, note, count, code_lines=kinds.lines)
        edit = first_proved(host, name, before, path, candidates, first_factor, kinds.factors)
        host.would_be[path] = edit.after
        return
    place = 0
    if first_factor != KEY_ONLY:
        candidates = edits(file, lines, PASSWORD_ONLY, note, count)
        edit = first_proved(host, name, before, path, candidates, PASSWORD_ONLY)
        place = edit.line
    if first_factor != PASSWORD_ONLY:
        candidates = edits(file, lines, first_factor, note, count, place)
        edit = first_proved(host, name, before, path, candidates, first_factor)
    host.would_be[path] = edit.after


def _asks_twice(name: str, choice: Choice) -> UsageError:
    """The lines of another module would stand between those for a security key, and be skipped."""
    message = f"{name} has a line that asks for codes of {choice.program}; nothing was changed"
    again = dataclasses.replace(choice, how=beside.INSTEAD).option
    return UsageError(message, f"pam-totp enable {shlex.quote(name)} {again}")


def _notes(host: PamHost, name: str) -> Iterator[str]:
    if not is_known(name):
        yield NOT_KNOWN.format(name)
    for line in host.after(name).stacks["auth"]:
        group = group_of(line)
        if group and line.actions[SUCCESS] == "done":
            who = f"members of {group} ({'none' if is_empty(group) else 'some'} today)"
            yield f"{name}: {who} log in without a password and without a code."


def _comes_from(host: PamHost, file: File) -> str:
    """The other service that has all of this one's auth lines, if any."""
    included = [top.included for top in tops_of(file, host.count_for(file.path))]
    other = host.file_of(included[0]) if len(included) == 1 and included[0] else None
    if other is None:
        return ""
    folder, name = os.path.split(host.real(other.path))  # however it is spelled
    return name if folder in host.libpam.folders and not is_shared(name) else ""
