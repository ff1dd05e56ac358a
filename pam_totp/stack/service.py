# SPDX-License-Identifier: MIT
"""A service as libpam reads it (_pam_init_handlers of Linux-PAM's libpam/pam_handlers.c).

The file of /etc/pam.d, else of /usr/lib/pam.d; the lines of `other` for each type that it has none
of; and /etc/pam.conf where neither folder exists: pam.conf(5). Changes nothing.
"""

import dataclasses
from collections.abc import Mapping

from pam_totp.stack.control import lower, words_of
from pam_totp.stack.disk import Disk, Replaced
from pam_totp.stack.files import File
from pam_totp.stack.libpam import Libpam
from pam_totp.stack.lines import TYPES, Aborted, Line, Place, Stacks

OTHER = "other"
PAM_CONF = "/etc/pam.conf"


@dataclasses.dataclass(frozen=True)
class Service:
    """stacks: the lines by type. files: every file that was read for it, `other` too. refused: why
    libpam refuses the service as a whole (pam_start fails); it has no lines then. own: the types
    of which it has lines itself; those of `other` stand in for the rest."""

    name: str
    stacks: Mapping[str, tuple[Line, ...]]
    files: tuple[File, ...]
    refused: str = ""
    own: tuple[str, ...] = ()

    @property
    def faults(self) -> list[str]:
        """A sentence for each thing that libpam cannot use."""
        lines = [line for kind in TYPES for line in self.stacks[kind] if line.fault]
        found = [f"{line.file}, line {line.number} {line.fault}" for line in lines]
        return list(dict.fromkeys([self.refused, *found] if self.refused else found))


def read_service(
    name: str,
    libpam: Libpam,
    root: str = "",
    known: dict[str, File | None] | None = None,
    replaced: Replaced | None = None,
) -> Service:
    """The service of this name, of the system below a root folder, as it is or as it would be with
    some files replaced. known: the files that were read before (see Disk). Raises Unknown."""
    name = lower(name.rpartition("/")[2])  # as pam_start does
    disk = Disk(root, libpam, known, replaced)
    own, other = Stacks(disk, libpam), Stacks(disk, libpam)
    refused = ""
    try:
        if disk.has_services:
            _read_folders(name, own, other)
        else:
            _read_pam_conf(name, own, other)
    except Aborted as failure:
        refused = str(failure)
        own = other = Stacks(disk, libpam)
    stacks = {kind: tuple(own.lines[kind] or other.lines[kind]) for kind in TYPES}
    own_types = tuple(kind for kind in TYPES if own.lines[kind])
    return Service(name, stacks, tuple(disk.files.values()), refused, own_types)


def _read_folders(name: str, own: Stacks, other: Stacks) -> None:
    folders, is_there = own.libpam.folders, False
    # The service `other` is read twice: for itself, and for what every service falls back on.
    for each, stacks in ((name, other if name == OTHER else own), (OTHER, other)):
        file = own.disk.find(each, folders)
        if file is not None:
            is_there = True
            stacks.add_file(file, Place())
    if not is_there:
        raise Aborted(f"there is neither {name} nor {OTHER} in {folders[0]}")


def _read_pam_conf(name: str, own: Stacks, other: Stacks) -> None:
    file = own.disk.find(PAM_CONF, ())
    if file is None:
        raise Aborted(f"there is neither {own.libpam.folders[0]} nor {PAM_CONF}")
    for line in file.lines:
        service, *words = words_of(line.text)
        if lower(service) in (OTHER, name):
            stacks = other if lower(service) == OTHER else own
            stacks.add(file, line, words, Place())
    if file.cut_off:
        raise Aborted(f"{file.path} ends in a backslash, so that libpam refuses it")


def options_of(line: Line) -> dict[str, str]:
    """The options of a line, by name."""
    return {name: value for name, _, value in (word.partition("=") for word in line.arguments)}
