# SPDX-License-Identifier: MIT
"""The services that a change of another one's file reaches, and screen lockers among them."""

import dataclasses
import itertools
import os
from collections.abc import Collection, Iterator

from pam_totp.errors import Error
from pam_totp.setup import layouts
from pam_totp.setup.also import Also, refuse_over_the_network
from pam_totp.setup.beside import Choice
from pam_totp.setup.block import numbers_on_disk
from pam_totp.setup.edits import Edit, combined, tops_of
from pam_totp.setup.fault import Fault
from pam_totp.setup.host import PAM_DIR, PamHost
from pam_totp.setup.kinds import LOCKERS, is_known, is_shared, why_not
from pam_totp.setup.new_lines import edited
from pam_totp.setup.places import as_on_disk, before_as_on_disk
from pam_totp.setup.proof import PASSWORD_ONLY, is_asking, prove
from pam_totp.stack.factors import Factor
from pam_totp.stack.files import File, file_of
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.service import Service

MAX_EDITS = 100
FOR = "for "  # in the mark of a locker's lines: the service because of which they are there

NOT_KNOWN = "It is not known whether {} can show a second question: try it."


@dataclasses.dataclass
class Plan:
    """services: those that will ask. reached: others that will, through what they include.
    choices: of the services at which another module asks, by name. also: what stands beside the
    code, by name. notes: sentences for the person who is asked."""

    services: list[str] = dataclasses.field(default_factory=list)
    reached: list[str] = dataclasses.field(default_factory=list)
    choices: dict[str, Choice] = dataclasses.field(default_factory=dict)
    also: dict[str, Also] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def factors(self) -> frozenset[Factor]:
        """What stands beside the code anywhere."""
        return frozenset(factor for each in self.also.values() for factor in each.factors)


def first_proved(
    host: PamHost,
    name: str,
    before: Service,
    path: str,
    candidates: Iterator[Edit],
    first_factor: str,
    also: Collection[Factor] = (),
) -> Edit:
    """The first edit of which all is proved. Raises Error, with what the best one fails."""
    best: tuple[int, Edit, list[Fault]] | None = None
    for edit in itertools.islice(candidates, MAX_EDITS):
        after = host.with_content(name, path, edit.after)
        faults = prove(before, after, host.libpam, first_factor, also)
        if not faults:
            return edit
        if best is None or len(faults) <= best[0]:
            best = len(faults), edit, faults
    assert best is not None
    _, edit, faults = best
    after = as_on_disk(host, before, host.with_content(name, path, edit.after))
    on_disk = before_as_on_disk(host, before)
    told = prove(on_disk, after, host.libpam, first_factor, also) or faults
    where = f"the line '{edit.code_line}' belongs after line {_line_on_disk(host, path, edit.line)}"
    raise layouts.not_known(host, before, f"{where} of {path}", told[0])


def _line_on_disk(host: PamHost, path: str, number: int) -> int:
    numbers = numbers_on_disk(host.content_of(path) or b"")
    return numbers[number - 1] if 0 < number <= len(numbers) else number


def own_lines(host: PamHost, name: str, file: File, note: str) -> bytes:
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
    return first_proved(host, name, before, path, iter(reversed(found)), PASSWORD_ONLY).after


def _auth_only(host: PamHost, file: File) -> list[str]:
    """The auth lines of a file, as they are included by a line for auth alone."""
    return [
        f"auth include {top.included}" if top.words[0] == "@include" else top.text
        for top in tops_of(file, host.count_for(file.path))
    ]


def plan_reached(host: PamHost, found: Plan) -> None:
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
        asking = [host.real(line.file) for line in after.stacks["auth"] if is_asking(line)]
        files = [file for file in asking if file in changed]
        if not files:
            continue
        if f"{PAM_DIR}/{name}" in changed:
            continue
        if found.factors:
            refuse_over_the_network(host, name, _includes(host, name, changed))
        if name in LOCKERS:
            refuse_linked(host, name)
            _plan_locker(host, name, os.path.basename(files[0]), found)
            continue
        if why_not(name):
            where = _includes(host, name, changed)
            message = f"{name} would ask for a code, too, because of {where}, but {why_not(name)}"
            path, target = f"{PAM_DIR}/{name}", host.target_of(name)
            hint = f"write {path} without that include, then run the command again"
            if target:
                hint = f"cp --remove-destination {target} {path}"
            raise Error(f"{message}; nothing was changed", hint)
        was = host.before(name)
        on_disk = before_as_on_disk(host, was), as_on_disk(host, was, after)
        faults = prove(*on_disk, host.libpam, also=found.factors)
        harm = [fault for fault in faults if not fault.is_open]
        if harm:
            message = (
                f"{name} includes a file that is changed, and {harm[0].words}; nothing was changed"
            )
            hint = f"write {PAM_DIR}/{name} without that include, then run the command again"
            raise Error(message, hint)
        found.reached.append(name)
        if faults:
            found.notes.append(f"At {name}, {faults[0].words}.")
        if not is_known(name):
            found.notes.append(NOT_KNOWN.format(name))


def _includes(host: PamHost, name: str, changed: set[str]) -> str:
    """What makes a service ask: the line of its file that includes one of these, or a link."""
    if host.target_of(name):
        return f"{PAM_DIR}/{name}, a link to {host.target_of(name)}"
    file = host.file_of(name)
    assert file is not None
    for top in tops_of(file, host.count_for(f"{PAM_DIR}/{name}")):
        included = host.file_of(top.included) if top.included else None
        if included is not None and host.real(included.path) in changed:
            return f"{file.path}, line {top.number} ({top.text.strip()})"
    return f"what {file.path} includes"


def refuse_linked(host: PamHost, name: str) -> None:
    """Lines of its own in a file that is another service's, too, would be both's. Raises Error."""
    target = host.target_of(name)
    if target:
        path = f"{PAM_DIR}/{name}"
        message = f"{name} shows no question, and {path} is a link to {target}, which would ask"
        hint = f"cp --remove-destination {target} {path}"
        raise Error(f"{message}; nothing was changed", hint)


def notes_of_edits(path: str, content: bytes) -> Iterator[str]:
    """What is lost of lines that enable wrote and somebody edited: they are written again."""
    for line in edited(content):
        yield (
            f"WARNING: '{line}' in {path} was edited. It is written again, without the edit. To "
            "keep such a line, remove the two comments of pam-totp around it."
        )


def _plan_locker(host: PamHost, name: str, because_of: str, found: Plan) -> None:
    path = f"{PAM_DIR}/{name}"
    file = host.file_of(name)
    assert file is not None
    found.notes += notes_of_edits(path, file.content)
    plain = host.take_ours_out(path, file.content)
    after = own_lines(host, name, file_of(path, plain, host.libpam), f"combined, {FOR}{because_of}")
    host.would_be = {path: after, **host.would_be}  # before what would keep the screen locked
    found.reached.append(name)
    found.notes.append(
        f"{name} shows no question: there the code is typed right after the password, in one field."
    )
