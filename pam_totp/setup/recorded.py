# SPDX-License-Identifier: MIT
"""Who has logged in with a code since, by root's own record: any user may write to the log."""

import contextlib
import os
import pwd

from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user import enforced
from pam_totp.setup.record import Record

NOTE = "logged-in"  # in the folder of a change


class RecordedLogins:
    """Those after it was made."""

    def __init__(self) -> None:
        self._before = times()

    def has(self, name: str) -> bool:
        """Whether the user is among them."""
        try:
            uid = str(pwd.getpwnam(name).pw_uid)
        except (KeyError, ValueError):
            return False
        found = times().get(uid)  # none after `reset`
        return found is not None and found != self._before.get(uid)


def times() -> dict[str, int]:
    """By user id: when the last login with a code was."""
    try:
        with os.scandir(f"{VAR.path}/{enforced.KIND}") as entries:
            return {each.name: each.stat(follow_symlinks=False).st_mtime_ns for each in entries}
    except OSError:
        return {}


def note(record: Record) -> None:
    """Somebody has logged in with a code during this trial, so other sessions need not ask."""
    with contextlib.suppress(OSError):
        os.close(os.open(f"{record.folder}/{NOTE}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def is_noted(record: Record) -> bool:
    """Whether somebody has."""
    return os.path.exists(f"{record.folder}/{NOTE}")
