# SPDX-License-Identifier: MIT
"""Reading a file that decides something: every record, secret and snapshot is read here.

- What was opened MUST be checked on its own descriptor, relative to a folder that was checked.
- A read MUST be bounded and MUST NOT wait: a FIFO, a device or an endless file gets an answer.
"""

import posix

from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record

# O_NONBLOCK: opening a FIFO does not wait. O_NOCTTY: opening a terminal does not take it over.
_FLAGS = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
_TYPE, _REGULAR, _LINK = 0o170000, 0o100000, 0o120000
WRITABLE_BY_OTHERS, OPEN_TO_OTHERS = 0o022, 0o077


class Opened(int):
    """A descriptor that is closed at the end of a block: `with Opened(posix.open(…)) as file:`"""

    __slots__ = ()

    def __enter__(self) -> int:
        return self

    def __exit__(self, *exception: object) -> None:
        posix.close(self)


class Checks(Record):
    """What a file must be. owner, owner_name: the account that must own it; forbidden_mode: bits
    that it must not have; max_bytes: of its content; unsafe, too_large: the reasons of Failure."""

    owner: int = 0
    owner_name: str = "root"
    forbidden_mode: int = WRITABLE_BY_OTHERS
    max_bytes: int = 64 * 1024
    unsafe: str = STATE_UNAVAILABLE
    too_large: str = STATE_UNAVAILABLE


def refuse_unsafe(status: posix.stat_result, path: str, checks: Checks) -> None:
    """Raises Failure if it is not a regular file, has another owner or is open to others."""
    if status.st_mode & _TYPE != _REGULAR:
        what = "is a symbolic link" if status.st_mode & _TYPE == _LINK else "is not a file"
        raise Failure(checks.unsafe, f"{path} {what}; replace it with the file itself")
    if status.st_uid != checks.owner:
        detail = f"{path} is owned by user id {status.st_uid}"
        raise Failure(checks.unsafe, f"{detail}; run: chown {checks.owner_name} {path}")
    if status.st_mode & checks.forbidden_mode:
        raise Failure(checks.unsafe, f"{path} is open to others; run: chmod 600 {path}")


def read(folder: int, name: str, path: str, checks: Checks) -> bytes:
    """The content of a file in the open folder; `path` is its name in messages. Raises OSError or
    Failure."""
    # Before the open for a better message, after it to be sure.
    refuse_unsafe(posix.stat(name, dir_fd=folder, follow_symlinks=False), path, checks)
    with Opened(posix.open(name, _FLAGS, dir_fd=folder)) as file:
        refuse_unsafe(status := posix.fstat(file), path, checks)
        # All at once: to join pieces would be to copy them.
        content, most = b"", min(max(status.st_size, 4096), checks.max_bytes)
        while len(content) <= checks.max_bytes and (chunk := posix.read(file, most + 1)):
            content += chunk
    if len(content) > checks.max_bytes:
        raise Failure(checks.too_large, f"{path} is larger than {checks.max_bytes} bytes")
    return content
