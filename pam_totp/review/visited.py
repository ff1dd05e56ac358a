# SPDX-License-Identifier: MIT
"""One user's secret files, read together for `pam-totp users`.

Becoming the user and root again takes six system calls, and the walk to the folder a dozen more:
most of the cost of a listing. So the files are read on one visit, and the folders that many homes
have above them are looked at once.

- Each file MUST be read as the user and checked, by the code that does so at a login.
- A folder above homes MUST be reached by each user, and MUST be the one that was looked at: of
  root's folders alone, without a link, none of which a group or others can write. Whatever is wrong
  there is told by the walk that a login takes.
"""

import contextlib
import os
import posix
import pwd

from pam_totp.records.storage.checked_file import WRITABLE_BY_OTHERS
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir, read_file
from pam_totp.records.storage.walk import FOLDER_FLAGS, Walk
from pam_totp.records.user import recovery, secret
from pam_totp.rules.reasons import Failure

MAX_ABOVE = 64  # others are walked for each user


class Above:
    """The folders above homes: device and number of each that is root's alone to change."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int] | None] = {}

    def open(self, path: str) -> int:
        """A descriptor of it, or -1 where it needs a look for each user. Raises OSError."""
        if path not in self._known:
            if len(self._known) == MAX_ABOVE:
                return -1
            self._known[path] = _of_root_alone(path)
        known = self._known[path]
        if known is None:
            return -1
        folder = posix.open(path or "/", FOLDER_FLAGS)
        status = posix.fstat(folder)
        if (status.st_dev, status.st_ino) == known:
            return folder
        posix.close(folder)
        return -1


class Visited(NamingSecretDir):
    """A folder of secret files; `visit` reads them all, and `read` then returns each one once."""

    __slots__ = ("_above", "_kept")

    def __init__(self, account: pwd.struct_passwd, store: str, above: Above) -> None:
        super().__init__(account, store)
        self._above = above
        self._kept: dict[str, bytes | None] = {}

    def visit(self) -> os.stat_result | None:
        """The status of the secret file, None if it is proven not to exist. Raises Failure."""
        return self.look(secret.NAME, self._look_at_all)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None if it is proven not to exist. Raises Failure."""
        return self._kept.pop(name) if name in self._kept else super().read(name)

    def _go_to_top(self, walk: Walk, *, follow: bool) -> None:
        path, _, name = self._top.rpartition("/")
        with contextlib.suppress(OSError):  # the walk from the top says what it is
            walk.folder = self._above.open(path)
        if walk.folder < 0:
            super()._go_to_top(walk, follow=follow)
            return
        walk.path = path
        walk.go(name, follow=follow)

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


def _of_root_alone(path: str) -> tuple[int, int] | None:
    """Its device and number, if each folder from `/` down to it is root's alone to change. Raises
    OSError."""
    folder = -1
    try:
        for name in ("/", *path.split("/")[1:]):
            above, folder = folder, posix.open(name, FOLDER_FLAGS, dir_fd=folder)
            if above >= 0:
                posix.close(above)
            status = posix.fstat(folder)
            if status.st_uid != 0 or status.st_mode & WRITABLE_BY_OTHERS or name in ("", ".", ".."):
                return None
        return status.st_dev, status.st_ino
    finally:
        if folder >= 0:
            posix.close(folder)


def stat_file(folder: int, name: str, _: SecretDir) -> os.stat_result:
    """The status of a name in the open folder, for `SecretDir.look`."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)
