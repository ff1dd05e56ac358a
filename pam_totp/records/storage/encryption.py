# SPDX-License-Identifier: MIT
"""Whether a folder is encrypted and locked: no name in it can be looked up then.

fscrypt(7): without the key the kernel answers "not there" for every plain name. A key of the old
version 1 policies that is in a user's keyring is not seen: then the folder counts as locked.
eCryptfs: until the home is mounted, its links `.ecryptfs` and `.Private` lie in the bare folder,
which is on the disk of the folder above, or, on one of its own (a subvolume), nobody's to write.
"""

import posix
import sys
from errno import EINVAL, ENODATA, ENOENT, ENOSYS, ENOTSUP, ENOTTY
from fcntl import ioctl

from pam_totp.records.storage.checked_file import Opened

# linux/fscrypt.h: FS_IOC_GET_ENCRYPTION_POLICY_EX, FS_IOC_GET_ENCRYPTION_KEY_STATUS
_GET_POLICY, _GET_KEY_STATUS, _PRESENT = 0xC0096616, 0xC080661A, 2
_FLAGS = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC


def is_locked(folder: int) -> bool:
    """`folder`: any descriptor of it. Raises OSError."""
    with Opened(posix.open(".", _FLAGS, dir_fd=folder)) as listed:  # O_PATH takes no ioctl
        policy = policy_of(listed)
        if not policy:
            return _is_bare_ecryptfs(listed)
        # The version is 2 or 0; its key goes by an identifier (2) or a descriptor (1).
        kind, key = (2, policy[8:24]) if policy[0] else (1, policy[4:12])
        wanted = (kind.to_bytes(4, sys.byteorder) + bytes(4) + key).ljust(128, b"\0")
        status = ioctl(listed, _GET_KEY_STATUS, wanted)[64:68]
        return int.from_bytes(status, sys.byteorder) != _PRESENT


def policy_of(listed: int) -> bytes:
    """The fscrypt policy of a folder, empty where it has none. Raises OSError."""
    try:
        return ioctl(listed, _GET_POLICY, (24).to_bytes(8, sys.byteorder) + bytes(24))[8:]
    except OSError as failure:
        if failure.errno not in (ENODATA, ENOTTY, ENOTSUP, ENOSYS, EINVAL):
            raise
        return b""


def _is_bare_ecryptfs(folder: int) -> bool:
    try:
        posix.readlink(".ecryptfs", dir_fd=folder)
    except OSError as failure:
        if failure.errno not in (ENOENT, EINVAL):  # EINVAL: a folder, as for ~/Private alone
            raise
        return False
    status, above = posix.fstat(folder), posix.stat("..", dir_fd=folder)
    return status.st_dev == above.st_dev or not status.st_mode & 0o200
