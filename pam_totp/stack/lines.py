# SPDX-License-Identifier: MIT
"""The lines of a stack in the order in which libpam runs them, includes expanded.

It follows _pam_parse_conf_file and _pam_add_handler of Linux-PAM's libpam/pam_handlers.c, and
Debian's patch for `@include` where a system has it (see Libpam).
"""

import dataclasses
import os
import re

from pam_totp.stack.control import ALL_BAD, Actions, actions_of, lower, words_of
from pam_totp.stack.disk import Disk
from pam_totp.stack.files import File, SourceLine
from pam_totp.stack.libpam import MODULE_UNKNOWN, PERM_DENIED, Libpam, Unknown

TYPES = ("auth", "account", "session", "password")
MAX_LEVEL = 16  # pam_private.h, PAM_SUBSTACK_MAX_LEVEL
MAX_LINES, MAX_DEPTH = 2000, 64


class Aborted(Exception):
    """libpam gives up a file (PAM_ABORT); says why. The lines before it stay."""


class Refused(Aborted):
    """An include of every type, with which libpam gives up the whole service."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a stack, or the mark of a substack, whose lines follow at a higher level.

    number: of the line in its file. module: as written; arguments: too, and what a file of the
    module's adds to them. always: what libpam takes for
    its return value without calling a module, where it cannot. fault: what is wrong with it.
    is_foreign: the module is in a folder of its own, so that its name says nothing.
    """

    file: str
    number: int
    level: int
    control: str = ""
    actions: Actions = ALL_BAD
    module: str = ""
    arguments: tuple[str, ...] = ()
    is_substack: bool = False
    always: int | None = None
    fault: str = ""
    is_foreign: bool = False

    @property
    def module_name(self) -> str:
        """The module without its folder; with it, where that is not libpam's own."""
        return self.module if self.is_foreign else os.path.basename(self.module)

    @property
    def place(self) -> str:
        """The file and the number, as text."""
        return f"{self.file}, line {self.number}"

    @property
    def shown_control(self) -> str:
        """The control as it is written."""
        return f"[{self.control}]" if re.search(r"[=\s]", self.control) else self.control

    @property
    def described(self) -> str:
        """Control and module as they are written."""
        return f"{self.shown_control} {self.module}"


@dataclasses.dataclass(frozen=True)
class Place:
    """Around the lines of a file: the type that an include asked for (empty: every type), and how
    many includes and substacks it stands in."""

    wanted: str = ""
    includes: int = 0
    level: int = 0


class Stacks:
    """The lines of a service by type, as they are added."""

    def __init__(self, disk: Disk, libpam: Libpam) -> None:
        self.disk, self.libpam = disk, libpam
        self.lines: dict[str, list[Line]] = {kind: [] for kind in TYPES}
        self._count = 0

    def add_file(self, file: File, place: Place) -> None:
        """Raises Aborted, Unknown."""
        for line in file.lines:
            self.add(file, line, words_of(line.text), place)
        if file.cut_off:
            raise Aborted(f"{file.path} ends in a backslash, so that libpam refuses it")

    def add(self, file: File, source: SourceLine, words: list[str], place: Place) -> None:
        """Adds what a line with these words says. Raises Aborted, Unknown."""
        self._count += 1
        if self._count > MAX_LINES:
            raise Unknown(f"{file.path} has more than {MAX_LINES} lines, with what it includes")
        line = Line(file.path, source.number, place.level)
        kind = lower(words[0].removeprefix("-")) if words else ""
        control, module = words[1:2], words[2:3]
        if kind == "@include" and self.libpam.is_debian:
            self._include_every_type(line, control, place)
            return
        if kind not in TYPES:
            fault = f"begins with {words[0]!a}, which is no type" if words else "has no type"
            line = dataclasses.replace(line, always=PERM_DENIED, fault=fault)
            kind = place.wanted or "auth"  # as libpam does, so that it refuses
        if place.wanted not in ("", kind):
            return
        if control and lower(control[0]) in ("include", "substack"):
            self._include(kind, dataclasses.replace(line, control=control[0]), module, place)
            return
        self.lines[kind].append(self._of_module(line, words))

    def _of_module(self, line: Line, all_words: list[str]) -> Line:
        words = all_words[1:]
        if not words:
            fault = line.fault or "has no control"
            return dataclasses.replace(line, always=PERM_DENIED, fault=fault)
        control, *rest = words
        try:
            actions, fault = actions_of(control, self.libpam)
        except Unknown as failure:
            raise Unknown(f"{line.file}, line {line.number}: {failure}") from None
        module = rest[0] if rest else ""
        # Where both say something, the line's own words count, which are the last.
        arguments = (*self.disk.defaults_of(module, rest[1:]), *rest[1:])
        always, fault = line.always, line.fault or fault
        if not rest:
            always, fault = PERM_DENIED, fault or "names no module"
        else:
            _check_name(line, module)  # `[]` is a name, which is empty
        if always is None and not self.disk.has_module(module):
            always = MODULE_UNKNOWN
            # Its `-` keeps libpam from logging that, and from nothing else.
            is_meant = all_words[0].startswith("-")
            fault = fault or ("" if is_meant else f"names {module!a}, which is no module here")
        where = (line.file, line.number, line.level)
        found = Line(*where, control, actions, module, arguments, always=always, fault=fault)
        return dataclasses.replace(found, is_foreign=self.disk.is_foreign(module))

    def _include(self, kind: str, line: Line, target: list[str], place: Place) -> None:
        is_substack = lower(line.control) == "substack"
        name = target[0] if target else ""
        if not target and self.libpam.is_debian:
            raise Unknown(f"{line.file}, line {line.number} includes nothing: libpam crashes")
        if is_substack:
            _check_name(line, name if target else "none")
            mark = dataclasses.replace(line, module=name, is_substack=True, always=None, fault="")
            self.lines[kind].append(mark)
        inside = Place(kind, place.includes + 1, place.level + is_substack)
        try:
            self._load(line, name, inside)
        except Aborted as failure:
            line = dataclasses.replace(line, module=name, always=PERM_DENIED, fault=str(failure))
            self.lines[kind].append(line)

    def _include_every_type(self, line: Line, target: list[str], place: Place) -> None:
        """Debian's `@include FILE`."""
        where = f"{line.file}, line {line.number}"
        if not target:
            raise Unknown(f"{where} includes nothing: libpam crashes")
        try:
            self._load(line, target[0], dataclasses.replace(place, includes=place.includes + 1))
        except Aborted as failure:
            if place.wanted:
                # Its patch leaves the actions of such a line as they were in memory.
                raise Unknown(f"{where} {failure}: what libpam does is not defined") from None
            if isinstance(failure, Refused):
                raise
            raise Refused(f"{where} {failure}, so that libpam refuses the service") from None

    def _load(self, line: Line, name: str, place: Place) -> None:
        """_pam_load_conf_file. Raises Aborted, Unknown."""
        depth = place.includes if self.libpam.since_1_6 else place.level
        if depth >= MAX_LEVEL:
            raise Aborted(f"includes {name}, {MAX_LEVEL} levels deep")
        if place.includes >= MAX_DEPTH:
            raise Unknown(f"{line.file}, line {line.number} includes {name}: it never ends")
        if not name:
            raise Aborted("includes nothing")
        file = self.disk.find(name, self.libpam.include_folders)
        if file is None:
            raise Aborted(f"includes {name}, which does not exist")
        self.add_file(file, place)


def _check_name(line: Line, module: str) -> None:
    """Raises Unknown for a name without which libpam stops halfway (extract_modulename)."""
    stem, dot, rest = module.rpartition("/")[2].rpartition(".")
    if (stem if dot else rest) in ("", "?"):
        raise Unknown(f"{line.file}, line {line.number} names {module!a}, at which libpam stops")
