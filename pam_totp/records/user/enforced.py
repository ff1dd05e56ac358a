# SPDX-License-Identifier: MIT
"""The record "has logged in with a code": a file of root, /var/lib/pam-totp/enforced/UID.

From the first login with a code on, a missing secret is a refusal and no longer "not enrolled":
removing a file or mounting an empty home does not switch the second factor off. Its time of
change is that of the last login with a code.

It is empty; or "sent", where all of these were codes that were sent, and no app was known. Then a
fleet's store that knows no app has forgotten none (pam_totp.access.in_fleet). With every store, as
the host may join a fleet later.
"""

import posix

from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.state_dir import VAR

KIND = "enforced"
ONLY_SENT = b"sent"


def is_set(uid: int) -> bool:
    """Whether the user has ever logged in with a code. Raises Failure if unknown."""
    return VAR.read(KIND, uid) is not None


def is_only_sent(uid: int) -> bool:
    """Whether the user has logged in with codes that were sent, and nothing else is known. Raises
    Failure."""
    return VAR.read(KIND, uid) == ONLY_SENT


def record_login(uid: int, *, only_sent: bool = False) -> None:
    """Records it durably; `only_sent`: no app of the user is known. Raises OSError or Failure.

    An existing record only gets the current time, which may be lost, unless it says less.
    """
    folder = VAR.open(KIND, make=True)
    assert folder is not None
    with Opened(folder):
        try:
            flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
            with Opened(posix.open(str(uid), flags, 0o600, dir_fd=folder)) as file:
                if only_sent:  # cut short, it says more
                    posix.write(file, ONLY_SENT)
                    posix.fsync(file)
            posix.fsync(folder)
        except FileExistsError:
            if not only_sent and posix.stat(str(uid), dir_fd=folder, follow_symlinks=False).st_size:
                VAR.write(KIND, uid, b"")
                return
            try:
                posix.utime(str(uid), dir_fd=folder, follow_symlinks=False)
            except OSError:
                pass  # only the listing of users shows an older time
