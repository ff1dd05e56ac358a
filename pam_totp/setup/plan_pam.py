# SPDX-License-Identifier: MIT
"""What has to change in /etc/pam.d so that services ask for codes: planned, and proved.

- A file that libpam refuses, or that cannot be read to its end, MUST be left alone.
- What a change reaches through other files MUST be proved as well, and be named.
"""

import os
import shlex
from collections.abc import Iterator

from pam_totp.errors import Error, UsageError
from pam_totp.review.one_prompt import EXAMPLE, ONE_PROMPT
from pam_totp.setup import beside
from pam_totp.setup.beside import NOTHING_TOLD, Choice
from pam_totp.setup.block import choice_of
from pam_totp.setup.edits import edits, tops_of
from pam_totp.setup.host import PAM_DIR, PamHost, group_of, is_empty
from pam_totp.setup.kinds import LOCKERS, UNATTENDED, is_known, is_shared
from pam_totp.setup.layouts import refusing_faults
from pam_totp.setup.places import before_as_on_disk
from pam_totp.setup.proof import (
    KEY_ONLY,
    PASSWORD_ONLY,
    is_asking,
    prove,
    without_passwords,
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
from pam_totp.stack.profile import OFF, is_of_profile
from pam_totp.stack.service import Service


def plan(
    host: PamHost, names: list[str], first_factor: str = PASSWORD_ONLY, told: Choice = NOTHING_TOLD
) -> Plan:
    """Plans all of these services; host.changes() has the files then. told: what becomes of the
    lines of another module. Raises Error."""
    found = Plan(services=list(names))
    for name in names:
        _check_kind(name)
    try:
        for name in names:
            first = first_factor if name == "sshd" else PASSWORD_ONLY
            _plan_service(host, name, first, told, found)
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


def _plan_service(host: PamHost, name: str, first_factor: str, told: Choice, found: Plan) -> None:
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
        _plan_service(host, other, PASSWORD_ONLY, told, found)
        return
    if any(is_asking(line) for line in before.stacks["auth"]):
        _added_by_hand(host, before, first_factor, told, found)
        host.plain.pop(path)
        return
    if name in LOCKERS:
        host.would_be[path] = own_lines(host, name, file, "combined")
        return
    choice = beside.choose(host, before, path, told, mark)
    note = ("code" if name != "sshd" else first_factor) + choice.mark + copied
    lines, count = before.stacks["auth"], host.count_for(spelled)
    if choice:
        found.choices[name] = choice
        found.notes += beside.notes(name, choice, told)
        candidates = beside.edits(choice, file, lines, first_factor, note, count)
        edit = first_proved(host, name, before, path, candidates, first_factor)
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


def _instead(now: Service, host: PamHost, is_profile: bool) -> str:
    """What to do about a line that is there and does not ask as it should."""
    if not is_profile:
        return "remove that line, and run the command again"
    if now.name == "sshd" and not prove(now, now, host.libpam, PASSWORD_ONLY):
        return f"run {OFF}, and enable each service, or add --first-factor password"
    return OFF


def _added_by_hand(
    host: PamHost, now: Service, first_factor: str, told: Choice, found: Plan
) -> None:
    """A service that has lines which enable did not put there. Raises Error if they are wrong."""
    line = next(line for line in now.stacks["auth"] if is_asking(line))
    is_profile = is_of_profile(line)
    by = "by enable" if host.is_by_enable(line.file) else "by hand"
    whose = "that pam-auth-update added" if is_profile else f"that was added {by}"
    where = f"a pam_totp.so line {whose} ({line.file}, line {line.number})"
    faults = [*prove(now, now, host.libpam, first_factor), *without_passwords(now, first_factor)]
    if faults:
        message = f"{now.name} has {where}, and {faults[0].words}"
        raise Error(message, _instead(now, host, is_profile))
    if told.how == beside.INSTEAD:
        raise Error(f"{now.name} has {where}", _instead(now, host, is_profile))
    if told:
        found.choices[now.name] = told
    found.notes.append(f"{now.name} already asks for a code: it has {where}.")
