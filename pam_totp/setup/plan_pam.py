# SPDX-License-Identifier: MIT
"""What has to change in /etc/pam.d so that services ask for codes: planned, and proved.

- A file that libpam refuses, or that cannot be read to its end, MUST be left alone.
- What a change reaches through other files MUST be proved as well, and be named.
"""

import dataclasses
from collections.abc import Iterator

from pam_totp.errors import Error, UsageError
from pam_totp.setup import layouts
from pam_totp.setup.block import choice_of
from pam_totp.setup.edits import Edit, combined, edits, tops_of
from pam_totp.setup.host import PAM_DIR, PamHost
from pam_totp.setup.kinds import LOCKERS, ONE_PROMPT, UNATTENDED, is_shared
from pam_totp.setup.proof import PASSWORD_ONLY, Fault, is_asking, prove
from pam_totp.stack.files import File, file_of
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.service import Service

ONE_PROMPT_HINT = "see /usr/share/doc/pam-totp/examples/pam/one-prompt"
FOR = "for "  # in the mark of a locker's lines: the service because of which they are there


@dataclasses.dataclass
class Plan:
    """services: those that will ask. reached: others that will, through what they include.
    notes: sentences for the person who is asked."""

    services: list[str] = dataclasses.field(default_factory=list)
    reached: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def plan(host: PamHost, names: list[str], first_factor: str = PASSWORD_ONLY) -> Plan:
    """Plans all of these services; host.changes() has the files then. Raises Error."""
    found = Plan(services=list(names))
    for name in names:
        _check_kind(name)
    try:
        for name in names:
            _plan_service(host, name, first_factor if name == "sshd" else PASSWORD_ONLY, found)
        _plan_reached(host, found)
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", f"ls -l {PAM_DIR}") from None
    return found


def _check_kind(name: str) -> None:
    if "/" in name or not name or name.startswith("."):
        raise UsageError(f"{name!a} is not the name of a service", f"ls {PAM_DIR}")
    if name == "pam-totp":
        raise Error("pam-totp checks passwords for 'pam-totp enroll'", "pam-totp enable sshd")
    if is_shared(name):
        message = f"{name} is included by other services, and a line in it would reach all of them"
        raise Error(message, "name the services, such as: pam-totp enable sshd login su sudo")
    if name in UNATTENDED:
        raise Error(f"nobody is there to answer a question of {name}", "pam-totp enable sshd")
    if name in ONE_PROMPT:
        message = (
            f"{name} has one prompt only, so the code must be typed right after the password "
            "(option 'combined'), and that is for you to decide"
        )
        raise Error(message, ONE_PROMPT_HINT)


def _plan_service(host: PamHost, name: str, first_factor: str, found: Plan) -> None:
    file = host.file_of(name)
    if file is None:
        message = f"there is no service {name} in {' or '.join(host.libpam.folders)}"
        raise Error(message, f"ls {PAM_DIR}")
    path = f"{PAM_DIR}/{name}"
    if path in host.would_be:
        return
    note = "code" if name != "sshd" else first_factor
    if file.path != path:
        note += f" (copied from {file.path})"
        found.notes.append(f"{path} is made as a copy of {file.path}, which it then stands for.")
        host.plain[path] = file.content
    elif "(copied" in choice_of(file.content):
        note += " (copied" + choice_of(file.content).partition("(copied")[2]
    plain = host.take_ours_out(path, file.content)
    file = file_of(path, plain, host.libpam)
    before = host.before(name)
    if before.faults:
        raise Error(
            f"{before.faults[0]}; nothing was changed", f"pam-totp explain root --service {name}"
        )
    other = _comes_from(host, file)
    if other and name not in LOCKERS:
        host.plain.pop(path)
        found.notes.append(f"{name} asks for what {other} asks for, because it includes it.")
        _plan_service(host, other, PASSWORD_ONLY, found)
        return
    if any(is_asking(line) for line in before.stacks["auth"]):
        _added_by_hand(host, name, before, found)
        host.plain.pop(path)
        return
    if name in LOCKERS:
        host.would_be[path] = _locker(host, name, file, "combined")
        return
    candidates = edits(file, before.stacks["auth"], first_factor, note, host.count_for(path))
    host.would_be[path] = _first_proved(host, name, before, path, candidates, first_factor)


def _first_proved(
    host: PamHost,
    name: str,
    before: Service,
    path: str,
    candidates: Iterator[Edit],
    first_factor: str,
) -> bytes:
    """The first edit of which all is proved. Raises Error, with what the best one fails."""
    best: tuple[int, Edit, list[Fault]] | None = None
    for edit in candidates:
        after = host.with_content(name, path, edit.after)
        faults = prove(before, after, host.libpam, first_factor)
        if not faults:
            return edit.after
        if best is None or len(faults) <= best[0]:
            best = len(faults), edit, faults
    assert best is not None
    _, edit, faults = best
    raise layouts.not_known(host, before, path, edit.line, faults[0])


def _comes_from(host: PamHost, file: File) -> str:
    """The other service that has all of this one's auth lines, if any."""
    included = [top.included for top in tops_of(file, host.count_for(file.path))]
    if len(included) != 1 or not included[0] or is_shared(included[0]):
        return ""
    return included[0] if host.file_of(included[0]) else ""


def _added_by_hand(host: PamHost, name: str, now: Service, found: Plan) -> None:
    """A service that has lines which enable did not put there. Raises Error if they are wrong."""
    faults = [fault for fault in prove(now, now, host.libpam) if "a key and" not in fault.what]
    if faults:
        message = f"{name} has a pam_totp.so line that was added by hand, and {faults[0].words}"
        raise Error(message, "remove that line, and run this again")
    found.notes.append(f"{name} already asks for a code, by a line that was added by hand.")


def _locker(host: PamHost, name: str, file: File, note: str) -> bytes:
    before = host.before(name)

    def inlined(include: str) -> list[str]:
        if is_shared(include):
            return []
        target = host.file_of(include)
        if target is None:
            return []
        content = host.plain.get(target.path, target.content) or b""
        return _auth_only(host, file_of(target.path, content, host.libpam))

    path = f"{PAM_DIR}/{name}"
    found = list(combined(file, inlined, note, host.count_for(path)))
    return _first_proved(host, name, before, path, iter(reversed(found)), PASSWORD_ONLY)


def _auth_only(host: PamHost, file: File) -> list[str]:
    """The auth lines of a file, as they are included by a line for auth alone."""
    return [
        f"auth include {top.included}" if top.words[0] == "@include" else top.text
        for top in tops_of(file, host.count_for(file.path))
    ]


def _plan_reached(host: PamHost, found: Plan) -> None:
    """Proves every other service that a changed file reaches, and gives lockers lines of their
    own. Raises Error, Unknown."""
    changed = set(host.would_be)
    for name in host.names():
        if name in found.services or is_shared(name):
            continue
        try:
            after = host.after(name)
        except Unknown:
            continue  # not readable before, and none of ours
        if not any(is_asking(line) and line.file in changed for line in after.stacks["auth"]):
            continue
        if f"{PAM_DIR}/{name}" in changed:
            continue
        if name in LOCKERS:
            _plan_locker(host, name, found)
            continue
        faults = prove(host.before(name), after, host.libpam)
        harm = [fault for fault in faults if not fault.is_open]
        if harm:
            message = (
                f"{name} would ask too, because it includes one of these files, and {harm[0].words}"
            )
            raise Error(message, f"give {name} a stack of its own: {PAM_DIR}/{name}")
        found.reached.append(name)
        if faults:
            found.notes.append(f"At {name}, {faults[0].words}.")


def _plan_locker(host: PamHost, name: str, found: Plan) -> None:
    path = f"{PAM_DIR}/{name}"
    file = host.file_of(name)
    assert file is not None
    plain = host.take_ours_out(path, file.content)
    services = ", ".join(found.services)
    after = _locker(host, name, file_of(path, plain, host.libpam), f"combined, {FOR}{services}")
    host.would_be = {path: after, **host.would_be}  # before what would keep the screen locked
    found.reached.append(name)
    found.notes.append(
        f"{name} shows no question: there the code is typed right after the password, in one field."
    )
