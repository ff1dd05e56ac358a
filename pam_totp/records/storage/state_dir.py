# SPDX-License-Identifier: MIT
"""Root's records: files DIR/KIND/NAME, replaced whole and synced, or left as they were.

Two folders: /var/lib/pam-totp for what must outlive a reboot and a power cut, and /run/pam-totp, a
tmpfs, for what matters for minutes. NAME is a user id, mostly.

- A file MUST be 0600 from its first byte on, and on the disk before it takes its name.
- Until the rename the old file MUST stay byte for byte; after it the new one is there, whole.
- "Not there" MUST be proven: without /var/lib/pam-totp itself nothing is; /run starts out empty.
"""

import posix

from pam_totp.records.storage import checked_file
from pam_totp.records.storage.checked_file import WRITABLE_BY_OTHERS, Checks, Opened
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TEMPORARY = ".new-"
_FLAGS = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


class Unsynced(OSError):
    """The change was made, but the disk did not confirm that it is durable."""


class Halfway(OSError):
    """Some of several new files were renamed into place, and the rest could not be."""


class StateDir(Record):
    """One of the two folders. path: where it is; is_volatile: whether it is empty after a boot;
    owner: the user id that it must have."""

    path: str
    is_volatile: bool
    owner: int = 0

    def read(self, kind: str, name: object, max_bytes: int = 64 * 1024) -> bytes | None:
        """The content of a record; None if it is proven not to be there. Raises Failure."""
        path = f"{self.path}/{kind}/{name}"
        folder = self.open(kind)
        if folder is None:
            return None
        try:
            with Opened(folder):
                return checked_file.read(folder, str(name), path, Checks(max_bytes=max_bytes))
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise Failure(STATE_UNAVAILABLE, f"{path}: {failure.strerror}") from None

    def has(self, kind: str, name: object) -> bool:
        """Whether there may be such a record: a quick look, which proves nothing."""
        try:
            posix.stat(f"{self.path}/{kind}/{name}")
        except OSError as failure:  # who reads it says why it cannot be read
            return not isinstance(failure, FileNotFoundError)
        return True

    def write(self, kind: str, name: object, content: bytes) -> None:
        """Replaces a record. Raises OSError or Failure: then it is as it was, unless Unsynced."""
        folder = self.open(kind, make=True)
        assert folder is not None
        with Opened(folder):
            replace_all(folder, [(str(name), content)])

    def remove(self, kind: str, name: object) -> bool:
        """Removes a record, durably; whether it was there. Raises OSError or Failure: then it still
        is, unless Unsynced."""
        folder = self.open(kind)
        if folder is None:
            return False
        with Opened(folder):
            try:
                posix.unlink(str(name), dir_fd=folder)
            except FileNotFoundError:
                return False
            _sync(folder)
        return True

    def open(self, kind: str = "", *, make: bool = False) -> int | None:
        """A descriptor of the folder of one kind of record, or of the one that holds them all;
        None if it is proven not to be there; `make`: makes it then. Raises Failure."""
        path = self.path
        try:
            folder = self._open_checked(path, path, make=make and self.is_volatile)
            if not kind:
                return folder
            with Opened(folder):
                path += f"/{kind}"
                return self._open_checked(kind, path, make=make, parent=folder)
        except OSError as failure:
            if isinstance(failure, FileNotFoundError) and (self.is_volatile or path != self.path):
                return None
            raise Failure(STATE_UNAVAILABLE, f"{path}: {failure.strerror}") from None

    def _open_checked(self, name: str, path: str, *, make: bool, parent: int | None = None) -> int:
        """A descriptor of a folder that its owner alone may write."""
        try:
            folder = posix.open(name, _FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            try:
                posix.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                pass  # another login was faster
            folder = posix.open(name, _FLAGS, dir_fd=parent)
        status = posix.fstat(folder)
        if status.st_uid == self.owner and not status.st_mode & WRITABLE_BY_OTHERS:
            return folder
        posix.close(folder)
        fault = f"is writable by others; run: chmod 700 {path}"
        if status.st_uid != self.owner:
            fault = f"is owned by user id {status.st_uid}; run: chown {self.owner} {path}"
        raise Failure(STATE_UNAVAILABLE, f"{path} {fault}")


VAR = StateDir(path="/var/lib/pam-totp", is_volatile=False)
RUN = StateDir(path="/run/pam-totp", is_volatile=True)


def replace_all(
    folder: int, files: list[tuple[str, bytes]], prove: "Callable[[str, str], None] | None" = None
) -> None:
    """Gives each name in the open folder its content, in this order, once all of it is on the disk.
    `prove`: looks at each temporary file, and is told its name to be. Raises OSError, or
    what `prove` does: then all is as it was, unless it is Unsynced or Halfway."""
    temporaries: list[str] = []
    renamed = 0
    try:
        for name, content in files:
            temporaries.append(name + TEMPORARY + posix.urandom(8).hex())
            write(folder, temporaries[-1], content)
            if prove:
                prove(temporaries[-1], name)
        for (name, _), temporary in zip(files, temporaries):  # noqa: B905 - as many
            posix.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            renamed += 1
    except BaseException as failure:
        for temporary in temporaries[renamed:]:
            try:
                posix.unlink(temporary, dir_fd=folder)
            except OSError:
                pass  # it was not made, or the next one removes it
        if renamed and isinstance(failure, OSError):
            raise Halfway(failure.errno, failure.strerror) from None
        raise
    _sync(folder)


def _sync(folder: int) -> None:
    try:
        posix.fsync(folder)
    except OSError as failure:
        raise Unsynced(failure.errno, failure.strerror) from None


def write(folder: int, name: str, content: bytes) -> None:
    """Makes a file, on the disk."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    with Opened(posix.open(name, flags, 0o600, dir_fd=folder)) as file:
        while content:
            content = content[posix.write(file, content) :]
        posix.fsync(file)
