# SPDX-License-Identifier: MIT
"""Who has logged in with a code since, by root's own record: any user may write to the log."""

import os
import pwd

from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user import enforced


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
