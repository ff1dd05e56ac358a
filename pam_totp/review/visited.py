# SPDX-License-Identifier: MIT
"""One user's secret files, read together for `pam-totp users`.

Becoming the user and root again takes six system calls, and the walk to the folder a dozen more:
most of the cost of a listing.

- Each file MUST be read as the user and checked, by the code that does so at a login.
"""

import os
import pwd

from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir, read_file
from pam_totp.records.user import recovery, secret
from pam_totp.rules.reasons import Failure


class Visited(NamingSecretDir):
    """A folder of secret files; `visit` reads them all, and `read` then returns each one once."""

    __slots__ = ("_kept",)

    def __init__(self, account: pwd.struct_passwd, store: str) -> None:
        super().__init__(account, store)
        self._kept: dict[str, bytes | None] = {}

    def visit(self) -> os.stat_result | None:
        """The status of the secret file, None if it is proven not to exist. Raises Failure."""
        return self.look(secret.NAME, self._look_at_all)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None if it is proven not to exist. Raises Failure."""
        return self._kept.pop(name) if name in self._kept else super().read(name)

    def _look_at_all(self, folder: int, name: str, _: SecretDir) -> os.stat_result:
        status = stat_file(folder, name, self)
        for each in (secret.NAME, recovery.NAME):
            try:
                self._kept[each] = read_file(folder, each, self)
            except FileNotFoundError:
                self._kept[each] = None
            except (OSError, Failure):
                pass  # `read` looks again, and says what is wrong with this one
        return status


def stat_file(folder: int, name: str, _: SecretDir) -> os.stat_result:
    """The status of a name in the open folder, for `SecretDir.look`."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)
