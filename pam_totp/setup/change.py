# SPDX-License-Identifier: MIT
"""What turning codes on or off changes on a host: files as they were and as they will be. Pure."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FileChange:
    """before, after: the whole content, None for no such file. mode: of a file that is made."""

    path: str
    before: bytes | None
    after: bytes | None
    mode: int = 0o644

    @property
    def inverse(self) -> "FileChange":
        """What takes it back."""
        return dataclasses.replace(self, before=self.after, after=self.before)


@dataclasses.dataclass(frozen=True)
class Change:
    """kind: "enable" or "disable". services: the names in /etc/pam.d that it is about.
    reloads_sshd: whether sshd has to read its settings again afterwards."""

    kind: str
    services: tuple[str, ...]
    files: tuple[FileChange, ...]
    reloads_sshd: bool = False
