# SPDX-License-Identifier: MIT
"""The record "has logged in with a code": an empty file of root, /var/lib/pam-totp/enforced/UID.

From the first login with a code on, a missing secret is a refusal and no longer "not enrolled":
removing a file or mounting an empty home does not switch the second factor off. Its time of
change is that of the last login with a code.
"""

import posix

from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.state_dir import VAR

KIND = "enforced"


def is_set(uid: int) -> bool:
    """Whether the user has ever logged in with a code. Raises Failure if unknown."""
    return VAR.read(KIND, uid) is not None


def record_login(uid: int) -> None:
    """Records it durably. Raises OSError or Failure.

    An existing record only gets the current time, which may be lost.
    """
    folder = VAR.open(KIND, make=True)
    assert folder is not None
    with Opened(folder):
        try:
            flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
            posix.close(posix.open(str(uid), flags, 0o600, dir_fd=folder))
            posix.fsync(folder)
        except FileExistsError:
            try:
                posix.utime(str(uid), dir_fd=folder, follow_symlinks=False)
            except OSError:
                pass  # only the listing of users shows an older time
