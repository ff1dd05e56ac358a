# SPDX-License-Identifier: MIT
"""A new file that holds secrets, such as a sheet or a picture.

- It MUST be its owner's alone from its first byte on.
- It MUST NOT take the place of anything, nor pass through a link at its name.
- What is removed again MUST be it: a folder on the way may be another by then, where others own it.
"""

import contextlib
import os
import stat
from types import TracebackType

from pam_totp import repair
from pam_totp.errors import Error

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def taken(path: str) -> Error:
    """The error where something has the name."""
    message = f"{path} already exists, and is never overwritten; nothing was changed"
    return Error(message, "choose another name")


def refuse_existing(path: str) -> None:
    """Raises Error where something has the name."""
    if os.path.lexists(path):
        raise taken(path)


class NewFile:
    """`with` it: then it is there, empty and 0600. What is raised in the block removes it again,
    unless it was kept (`is_kept`). Raises Error where a name is taken or nothing can be written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_kept = False
        self.file = self._folder = -1

    def __enter__(self) -> "NewFile":
        folder, name = os.path.split(self.path)
        try:
            self._folder = os.open(folder or ".", _FOLDER)
            self.file = os.open(name, _FLAGS, 0o600, dir_fd=self._folder)
        except FileExistsError:
            self._leave()
            raise taken(self.path) from None
        except (OSError, ValueError) as failure:
            self._leave()
            raise self.error(failure) from None
        status = os.fstat(self.file)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            self.__exit__(Error, None, None)
            message = f"cannot write {self.path}: others could read it on that file system"
            raise Error(message, "name a file on another file system")
        return self

    def write(self, content: bytes) -> None:
        """Adds to it, on the disk. Raises Error: then nothing was added."""
        before = os.lseek(self.file, 0, os.SEEK_CUR)
        try:
            while content:
                content = content[os.write(self.file, content) :]
            os.fsync(self.file)
        except OSError as failure:
            self.cut(before)
            raise self.error(failure) from None

    def size(self) -> int:
        """How many bytes were written."""
        return os.lseek(self.file, 0, os.SEEK_CUR)

    def cut(self, size: int) -> None:
        """Takes back what was written after that many bytes."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.file, size)
            os.lseek(self.file, size, os.SEEK_SET)

    def error(self, failure: OSError | ValueError) -> Error:
        """That of a system call on it."""
        said = failure.strerror if isinstance(failure, OSError) else None
        fault, hint = repair.split(said or str(failure), self.path)
        return Error(f"cannot write {self.path}: {fault}", hint)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self.file)
        if kind is not None and not self.is_kept:
            with contextlib.suppress(OSError):
                os.unlink(os.path.basename(self.path), dir_fd=self._folder)
        self._leave()

    def _leave(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
        self._folder = -1


class Pipe(NewFile):
    """Standard output, where it is none that a person reads. What was written stays written."""

    def __init__(self) -> None:
        super().__init__("standard output")
        self.is_kept = True

    def __enter__(self) -> "Pipe":
        if os.isatty(1):
            message = "the sheet holds secrets, and standard output is a terminal"
            raise Error(message, "name a file: --html OUT")
        self.file = os.dup(1)
        return self

    def write(self, content: bytes) -> None:
        """As NewFile.write; a pipe is no disk."""
        try:
            while content:
                content = content[os.write(self.file, content) :]
        except OSError as failure:
            raise self.error(failure) from None

    def error(self, failure: OSError | ValueError) -> Error:
        """It has no path that could be repaired."""
        said = failure.strerror if isinstance(failure, OSError) else failure
        return Error(f"cannot write {self.path}: {said}", "ls -l /dev/stdout")

    def size(self) -> int:
        """Nothing can be taken back."""
        return 0

    def cut(self, size: int) -> None:
        """Nothing can be taken back."""
