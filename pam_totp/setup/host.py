# SPDX-License-Identifier: MIT
"""The PAM services of a host as they are and as they would be. Changes nothing."""

import dataclasses
import grp
import os
import pwd
from collections.abc import Mapping

from pam_totp.review.elsewhere import is_over_the_network
from pam_totp.setup.block import take_out
from pam_totp.setup.change import FileChange
from pam_totp.setup.edits import Count
from pam_totp.setup.kinds import is_known
from pam_totp.stack import sshd_running
from pam_totp.stack.disk import Disk
from pam_totp.stack.files import File
from pam_totp.stack.libpam import AUTH_ERR, Libpam, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.services_of_host import names_of_files
from pam_totp.stack.totp_lines import MODULE

PAM_DIR = "/etc/pam.d"


class PamHost:
    """Below a root folder. `would_be`: the files that a plan changes, by path, with their contents;
    `plain`: the same files without any lines of ours."""

    def __init__(self, libpam: Libpam, root: str = "") -> None:
        self.libpam, self.root = libpam, root
        self.would_be: dict[str, bytes | None] = {}
        self.plain: dict[str, bytes | None] = {}

    def names(self) -> list[str]:
        """Every file of a service."""
        return names_of_files(self.libpam, self.root)

    def real(self, path: str) -> str:
        """The path of the file that this one leads to."""
        return Disk(self.root, self.libpam).real(path)

    def target_of(self, name: str) -> str:
        """Where the file of a service is a link to; empty for one that is none."""
        found = self.real(f"{PAM_DIR}/{name}")
        return found if os.path.basename(found) != name else ""

    def file_of(self, name: str) -> File | None:
        """The file that libpam uses for this name. Raises Unknown."""
        return Disk(self.root, self.libpam).find(name, self.libpam.folders)

    def has_module(self, module: str) -> bool:
        """Whether libpam finds a module."""
        return Disk(self.root, self.libpam).has_module(module)

    def defaults_of(self, module: str) -> list[str]:
        """What a module reads of a file of its own."""
        return Disk(self.root, self.libpam).defaults_of(module)

    def is_elsewhere(self, name: str) -> bool:
        """Whether people log in to a service from another machine. Raises Unknown."""
        if self.root or is_known(name) or is_over_the_network(name):
            return is_over_the_network(name)
        return name in sshd_running.services()

    def content_of(self, path: str) -> bytes | None:
        """The content of a path of /etc/pam.d now. Raises Unknown."""
        file = Disk(self.root, self.libpam).find(path, ())
        return file.content if file else None

    def before(self, name: str) -> Service:
        """A service without the lines of ours that the plan is about. Raises Unknown."""
        return self._read(name, self.plain)

    def after(self, name: str) -> Service:
        """A service with the plan's changes. Raises Unknown."""
        return self._read(name, {**self.plain, **self.would_be})

    def with_content(self, name: str, path: str, content: bytes) -> Service:
        """A service with the plan's changes and one more. Raises Unknown."""
        replaced = {**self.plain, **self.would_be, path: content}
        return self._read(name, replaced)

    def _read(self, name: str, replaced: Mapping[str, bytes | None]) -> Service:
        service = read_service(name, self.libpam, self.root, replaced=replaced)
        auth = tuple(self._of_group(line) for line in service.stacks["auth"])
        return dataclasses.replace(service, stacks={**service.stacks, "auth": auth})

    def _of_group(self, line: Line) -> Line:
        """A line that accepts the members of a group which has none accepts nobody."""
        if group_of(line) and not self.root and is_empty(group_of(line)):
            return dataclasses.replace(line, always=AUTH_ERR)
        return line

    def count_for(self, path: str) -> Count:
        """How many lines of an auth stack a part of a file is, a substack being one."""

        def count(part: bytes) -> int:
            if not part:
                return 0
            # No `other`: a part without a line of its own is none.
            other = f"{self.libpam.folders[0]}/other"
            replaced: Mapping[str, bytes | None] = {**self.plain, other: b"", path: part}
            lines = read_service(os.path.basename(path), self.libpam, self.root, replaced=replaced)
            return sum(line.level == 0 for line in lines.stacks["auth"])

        return count

    def take_ours_out(self, path: str, content: bytes) -> bytes:
        """Notes what a file is without our lines, and returns it. Raises Unknown."""
        try:
            self.plain[path] = take_out(content)
        except ValueError as fault:
            raise Unknown(f"{path}: {fault}") from None
        return self.plain[path] or b""

    def is_by_enable(self, path: str) -> bool:
        """Whether the only lines of the module in a file are ours. Raises Unknown."""
        content = self.content_of(path) or b""
        try:
            return MODULE.encode() not in take_out(content)
        except ValueError:
            return False

    def changes(self) -> tuple[FileChange, ...]:
        """The files of the plan that are not yet as they would be."""
        found = [
            FileChange(path, self.content_of(path), after) for path, after in self.would_be.items()
        ]
        return tuple(each for each in found if each.before != each.after)


def group_of(line: Line) -> str:
    """The group whose members a line accepts, as display managers have it; empty for no such."""
    words = line.arguments
    is_such = line.module_name == "pam_succeed_if.so" and words[:2] == ("user", "ingroup")
    return words[2] if is_such and len(words) == 3 else ""


def is_empty(name: str) -> bool:
    """Whether a group has no members, or does not exist."""
    try:
        group = grp.getgrnam(name)
    except KeyError:
        return True
    return not group.gr_mem and all(user.pw_gid != group.gr_gid for user in pwd.getpwall())
