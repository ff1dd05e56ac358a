# SPDX-License-Identifier: MIT
"""Which name on the way to a user's secret denies the user, for commands: the kernel does not say.

What others can write is refused as it is (pam_totp.records.storage.walk). What is closed to its own
user, as after a restore as root, is refused by the kernel, and a login says no more than that.
"""

import os
import pwd
import stat
from collections.abc import Callable
from errno import EACCES
from typing import TypeVar

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.rules.reasons import Failure

Found = TypeVar("Found")
_DENIED = f": {os.strerror(EACCES)}"


class NamingSecretDir(SecretDir):
    """A SecretDir whose Failures name the file or folder that denies access, with its repair."""

    def look(self, name: str, look: Callable[[int, str, SecretDir], Found]) -> Found | None:
        """As SecretDir.look. Raises Failure."""
        try:
            return super().look(name, look)
        except Failure as failure:
            path, denied, _ = failure.detail.partition(_DENIED)
            failure.detail = (denied and _denial(path, self.owner)) or failure.detail
            raise


def _denial(path: str, user: pwd.struct_passwd) -> str:
    """The first name on the way that denies the user, and what helps; empty if none is seen to."""
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    parts = path.strip("/").split("/")
    for end in range(1, len(parts) + 1):
        name = "/" + "/".join(parts[:end])
        try:
            status = os.stat(name)
        except OSError:
            return ""
        is_own = status.st_uid == user.pw_uid
        wanted = stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH
        shift = 6 if is_own else 3 if status.st_gid in groups else 0
        if status.st_mode & wanted << shift:
            continue
        if is_own:
            mode = "u+rwx" if stat.S_ISDIR(status.st_mode) else "600"
            return f"{name} is closed to its owner; run: chmod {mode} {name}"
        if not f"{name}/".startswith(f"{user.pw_dir}/"):
            return f"{name} is closed to {user.pw_name}; run: chmod o+x {name}"
        run = f"chown -h {user.pw_name} {name}"
        return f"{name} is owned by user id {status.st_uid} and closed to others; run: {run}"
    return ""
