"""Files that must outlive a power cut: replaced whole and synced, folder too, or left as they were.

- A file MUST be 0600 from its first byte on, and on the disk before it takes its name.
- Until the rename the old file MUST stay byte for byte; after it the new one is there, whole.
"""

import posix

from pam_totp.records.storage.opened import Opened
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure

STATE_DIR = "/var/lib/pam-totp"
TEMPORARY = ".new-"


class Unsynced(OSError):
    """The new file has its name, or the old one is gone; the disk did not say that it stays so."""


class Halfway(OSError):
    """Of several new files the first have their names, and the rest could not get theirs."""


_FOLDER_FLAGS = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def replace(folder: int, name: str, content: bytes) -> None:
    """Gives `name` in the open folder this content. Raises OSError: then it is as it was, unless
    it is Unsynced."""
    replace_all(folder, [(name, content)])


def replace_all(folder: int, files: list[tuple[str, bytes]]) -> None:
    """Gives each name its content, in this order, once all of it is on the disk. Raises OSError:
    then all is as it was, unless it is Unsynced or Halfway."""
    temporaries: list[str] = []
    renamed = 0
    try:
        for name, content in files:
            temporaries.append(name + TEMPORARY + posix.urandom(8).hex())
            _write(folder, temporaries[-1], content)
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


def _write(folder: int, name: str, content: bytes) -> None:
    """Makes a file, on the disk."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    with Opened(posix.open(name, flags, 0o600, dir_fd=folder)) as file:
        while content:
            content = content[posix.write(file, content) :]
        posix.fsync(file)


def remove(folder: int, name: str) -> bool:
    """Removes a name, durably; whether it was there. Raises OSError: it is, unless Unsynced."""
    try:
        posix.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    _sync(folder)
    return True


def open_folder(kind: str, *, make: bool = False) -> int | None:
    """A descriptor of root's folder for one kind of record; None if it is proven not there.

    Raises Failure where nobody can tell: without /var/lib/pam-totp nothing is proven.
    """
    try:
        with Opened(posix.open(STATE_DIR, _FOLDER_FLAGS)) as parent:
            if posix.fstat(parent).st_uid != 0 or posix.fstat(parent).st_mode & 0o022:
                raise Failure(STATE_UNAVAILABLE, f"{STATE_DIR} is not root's alone to write")
            if make:
                try:
                    posix.mkdir(kind, 0o700, dir_fd=parent)
                except FileExistsError:
                    pass
            try:
                return posix.open(kind, _FOLDER_FLAGS, dir_fd=parent)
            except FileNotFoundError:
                if make:
                    raise
                return None
    except OSError as failure:
        raise Failure(STATE_UNAVAILABLE, f"{STATE_DIR}/{kind}: {failure.strerror}") from None


def read(kind: str, name: str, most_bytes: int = 64 * 1024) -> bytes | None:
    """The content of one record; None if it is proven not there. Raises Failure."""
    folder = open_folder(kind)
    if folder is None:
        return None
    try:
        with Opened(folder):
            return read_file(folder, name, f"{STATE_DIR}/{kind}/{name}", most_bytes)
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise Failure(STATE_UNAVAILABLE, f"{STATE_DIR}/{kind}/{name}: {failure.strerror}") from None


def read_file(folder: int, name: str, path: str, most_bytes: int) -> bytes:
    """The content of root's file in the open folder; `path` names it. Raises OSError or Failure."""
    flags = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
    with Opened(posix.open(name, flags, dir_fd=folder)) as file:
        status = posix.fstat(file)
        if status.st_uid != 0 or status.st_mode & 0o022:
            raise Failure(STATE_UNAVAILABLE, f"{path} is not root's alone to write")
        return posix.read(file, most_bytes)
