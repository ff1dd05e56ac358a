# SPDX-License-Identifier: MIT
"""Replacing one file of the system, so that it is the old one or the new one, whole, at any moment.

- What is written MUST be on the disk before it takes the file's name.
- A link MUST be followed only through folders and links that root alone can change.
- The new file MUST have owner, mode and extended attributes (access lists, SELinux's label) of the
  old one.
- Putting a file back MUST need no room on the disk: a copy of it lies beside the new one from
  before the first change on.
"""

import dataclasses
import errno
import os
import pwd
import shutil
import stat

from pam_totp.errors import Error
from pam_totp.records.storage.state_dir import write
from pam_totp.records.storage.walk import Walk
from pam_totp.rules.reasons import Failure
from pam_totp.setup import journal

# Beside each file: a folder that libpam and sshd's Include pass by.
ASIDE = ".pam-totp-change"
# The kernel's own, and wrong for another content.
_OF_THE_CONTENT = ("security.ima", "security.evm")
_MAX_LINKS = 40  # as the kernel has it
_MAX_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Owner, group, mode, times and extended attributes of a file."""

    owner: int
    group: int
    mode: int
    times: tuple[int, int] | None
    extended: dict[str, bytes]


def real_path(path: str) -> str:
    """Where a file is, or will be, when all links are followed. Raises Error."""
    given = path
    # Not of the module: Python cannot take one of those apart at its end.
    root = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", ""))
    for _ in range(_MAX_LINKS):
        walk = Walk(user=root, is_checked=True)
        try:
            walk.go(os.path.dirname(path), follow=True)
            path = f"{walk.path}/{os.path.basename(path)}"
            status = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            if walk.folder >= 0 and walk.path == os.path.dirname(path):
                return path
            raise Error(
                f"{given} cannot be written: there is no {os.path.dirname(path)}",
                f"mkdir -p {os.path.dirname(path)}",
            ) from None
        except Failure as unsafe:
            # Its repair is for a secret of root's: here it would give away the home of a user.
            detail = unsafe.detail.partition("; ")[0]
            raise Error(f"{given}: {detail}", f"namei -l {given}") from None
        finally:
            if walk.folder >= 0:
                os.close(walk.folder)
        if not stat.S_ISLNK(status.st_mode):
            if not stat.S_ISREG(status.st_mode):
                raise Error(f"{path} is not a file", f"ls -ld {path}")
            if status.st_uid != 0:
                raise Error(f"{path} is owned by user id {status.st_uid}", f"chown root {path}")
            return path
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise Error(f"{given} is a link in a loop", f"namei -l {given}")


def content_of(target: str) -> bytes | None:
    """None where there is no such file. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(target, flags)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"larger than {_MAX_BYTES} bytes")
    return content


def attributes_of(target: str, mode: int) -> Attributes:
    """Of the file; of a new one of root's with this mode, where it is not there. Raises OSError."""
    try:
        status = os.stat(target, follow_symlinks=False)
    except FileNotFoundError:
        return Attributes(0, 0, mode, None, {})
    extended: dict[str, bytes] = {}
    try:
        for name in os.listxattr(target, follow_symlinks=False):
            if name in _OF_THE_CONTENT:
                continue
            extended[name] = os.getxattr(target, name, follow_symlinks=False)
    except OSError as failure:
        if failure.errno != errno.ENOTSUP:
            raise
    times = status.st_atime_ns, status.st_mtime_ns
    return Attributes(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), times, extended)


def stage(
    target: str, name: str, content: bytes, like: Attributes, *, is_old: bool = False
) -> None:
    """Writes what may take the target's name, durably, beside it. is_old: it has the times, too.
    Raises OSError."""
    folder = _aside(target)
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o700)
    path = staged(target, name)
    try:
        os.unlink(path)  # of a command that was killed
    except FileNotFoundError:
        pass
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write(descriptor, os.path.basename(path), content)
        _give(path, like)
        if is_old and like.times:
            os.utime(path, ns=like.times)
        os.fsync(descriptor)
    except OSError as failure:
        raise OSError(failure.errno, failure.strerror, target) from None
    finally:
        os.close(descriptor)


def _give(path: str, like: Attributes) -> None:
    os.chown(path, like.owner, like.group, follow_symlinks=False)
    os.chmod(path, like.mode)
    for name, value in like.extended.items():
        try:
            # A label that it has already may not be set anew by everybody.
            if os.getxattr(path, name) == value:
                continue
        except OSError:
            pass
        os.setxattr(path, name, value)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def staged(target: str, name: str) -> str:
    """Where `stage` writes."""
    return f"{_aside(target)}/{os.path.basename(target)}.{name}"


def move_in(target: str, name: str) -> None:
    """What was staged takes the target's name, durably. Raises OSError."""
    os.rename(staged(target, name), target)
    journal.sync(os.path.dirname(target))


def remove(target: str) -> None:
    """There is no such file from here on, durably. Raises OSError."""
    try:
        os.unlink(target)
    except FileNotFoundError:
        return
    journal.sync(os.path.dirname(target))


def clear_away(target: str) -> None:
    """Removes what was staged beside it."""
    shutil.rmtree(_aside(target), ignore_errors=True)


def _aside(target: str) -> str:
    return f"{os.path.dirname(target)}/{ASIDE}"
