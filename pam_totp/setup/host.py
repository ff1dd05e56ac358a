# SPDX-License-Identifier: MIT
"""The PAM services of a host as they are and as they would be. Changes nothing."""

import os
from collections.abc import Mapping

from pam_totp.setup.block import take_out
from pam_totp.setup.change import FileChange
from pam_totp.setup.edits import Count
from pam_totp.stack.disk import Disk
from pam_totp.stack.files import File
from pam_totp.stack.libpam import Libpam, Unknown
from pam_totp.stack.service import Service, read_service

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
        found = set[str]()
        for folder in self.libpam.folders:
            try:
                found |= set(os.listdir(self.root + folder))
            except OSError:
                continue
        return sorted(name for name in found if "." not in name and not name.endswith("~"))

    def file_of(self, name: str) -> File | None:
        """The file that libpam uses for this name. Raises Unknown."""
        return Disk(self.root, self.libpam).find(name, self.libpam.folders)

    def content_of(self, path: str) -> bytes | None:
        """The content of a path of /etc/pam.d now. Raises Unknown."""
        file = Disk(self.root, self.libpam).find(path, ())
        return file.content if file else None

    def before(self, name: str) -> Service:
        """A service without the lines of ours that the plan is about. Raises Unknown."""
        return read_service(name, self.libpam, self.root, replaced=self.plain)

    def after(self, name: str) -> Service:
        """A service with the plan's changes. Raises Unknown."""
        return read_service(name, self.libpam, self.root, replaced={**self.plain, **self.would_be})

    def with_content(self, name: str, path: str, content: bytes) -> Service:
        """A service with the plan's changes and one more. Raises Unknown."""
        replaced = {**self.plain, **self.would_be, path: content}
        return read_service(name, self.libpam, self.root, replaced=replaced)

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

    def changes(self) -> tuple[FileChange, ...]:
        """The files of the plan that are not yet as they would be."""
        found = [
            FileChange(path, self.content_of(path), after) for path, after in self.would_be.items()
        ]
        return tuple(each for each in found if each.before != each.after)
