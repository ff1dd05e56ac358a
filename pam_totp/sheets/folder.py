# SPDX-License-Identifier: MIT
"""The folder with a sheet for each user, USER.html, and perhaps a picture, USER.png: root's alone.

- Nobody else MUST be able to change the way to it, or what lies in it: it is walked as the way to a
  secret is (pam_totp.records.storage.walk), and everything in it is opened relative to it.
- A sheet MUST be on the disk, under its temporary name, before the secret on it is saved, and MUST
  get its own name right after. So a command that is killed leaves either a sheet whose secret was
  not saved, which the next one removes, or one whose secret was, which the next one finds by it.
- A picture MUST take its name after the sheet: without that one nothing says whose secret it has.
- Neither MUST ever take the place of another file.
"""

import contextlib
import fcntl
import os
import pwd
import shlex
from types import TracebackType

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage import checked_file
from pam_totp.records.storage.checked_file import OPEN_TO_OTHERS, Checks, Opened
from pam_totp.records.storage.state_dir import write
from pam_totp.records.storage.walk import Walk
from pam_totp.rules.reasons import Failure
from pam_totp.sheets.row import Row, row_in

_CHECKS = Checks(forbidden_mode=OPEN_TO_OTHERS, max_bytes=1024 * 1024)
SHEET, PICTURE = ".html", ".png"


class SheetFolder:
    """`with` it: then it is there, and no other command writes there. Raises Error."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._way = os.path.join(os.getcwd(), path).rstrip("/")
        self._folder = -1

    def __enter__(self) -> "SheetFolder":
        try:
            self._make()
            self._folder = self._open(self._way)
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another command writes sheets into {self.path}"
            raise Error(message, "wait for it to end, and run the command again") from None
        except OSError as failure:
            raise self.error(self.path, failure) from None
        except Failure as refused:
            fault, hint = repair.split(refused.detail, self._way)
            raise Error(f"sheets cannot be kept in {self.path}: {fault}", hint) from None
        return self

    def _make(self) -> None:
        above, _, name = self._way.rpartition("/")
        with (
            Opened(self._open(above or "/", follow=True)) as folder,
            contextlib.suppress(FileExistsError),
        ):
            os.mkdir(name, 0o700, dir_fd=folder)

    def _open(self, path: str, *, follow: bool = False) -> int:
        # Made here: Python 3.11 complains at its end about one that a module has.
        root = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", ""))
        walk = Walk(user=root, is_checked=not follow)
        try:
            walk.go(path, follow=follow)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            return os.open(".", flags, dir_fd=walk.folder)  # a handle alone cannot be synced
        finally:
            if walk.folder >= 0:
                os.close(walk.folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A child that hangs in a home would keep it.
        fcntl.flock(self._folder, fcntl.LOCK_UN)
        self.leave()

    def leave(self) -> None:
        """Closes it. In a child of this process the lock stays its parent's."""
        if self._folder >= 0:
            os.close(self._folder)
        self._folder = -1

    def find(self, user: str) -> Row | None:
        """The sheet of a user; None without one, or where the file is none."""
        return self._read(final(user, SHEET))

    def find_unfinished(self, user: str) -> Row | None:
        """That of a command that was killed."""
        return self._read(temporary(user, SHEET))

    def taken(self, user: str) -> list[str]:
        """The names of the user's sheet and picture that something has."""
        return [kind for kind in (SHEET, PICTURE) if self._has(final(user, kind))]

    def _has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _read(self, name: str) -> Row | None:
        path = f"{self.path}/{name}"
        try:
            return row_in(checked_file.read(self._folder, name, path, _CHECKS).decode("utf-8"))
        except (OSError, Failure, UnicodeError):
            return None

    def write(self, user: str, files: dict[str, bytes]) -> None:
        """Puts sheet and picture there, by their kinds, durably and under their temporary names.
        Raises Error: then none is there."""
        kind = SHEET
        self.discard(user)
        try:
            for kind, content in files.items():
                write(self._folder, temporary(user, kind), content)
            os.fsync(self._folder)
        except OSError as failure:
            self.discard(user)
            raise self.error(f"{self.path}/{final(user, kind)}", failure) from None

    def add_picture(self, user: str, content: bytes) -> None:
        """Beside a sheet that has none, under its own name at once. Raises Error."""
        if self._has(final(user, PICTURE)):
            return
        self.write(user, {PICTURE: content})
        self.publish(user)

    def discard(self, user: str) -> None:
        """Removes those with a temporary name, if there are any."""
        for kind in (SHEET, PICTURE):
            with contextlib.suppress(OSError):
                os.unlink(temporary(user, kind), dir_fd=self._folder)

    def publish(self, user: str) -> None:
        """Gives them their own names, which nothing has: the sheet first. Raises Error: then they
        keep the others, and the next command finds the sheet there."""
        kind = SHEET
        try:
            for kind in (SHEET, PICTURE):
                if self._has(temporary(user, kind)):
                    self._rename(temporary(user, kind), final(user, kind))
            os.fsync(self._folder)
        except OSError as failure:
            raise self.error(f"{self.path}/{final(user, kind)}", failure) from None

    def _rename(self, source: str, target: str) -> None:
        os.rename(source, target, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def error(self, path: str, failure: OSError) -> Error:
        """That of a system call."""
        fault, hint = repair.split(failure.strerror or str(failure), self._way)
        return Error(f"cannot write {path}: {fault}", hint)

    def removal(self, user: str) -> str:
        """The command that removes what has the name of a sheet or a picture."""
        paths = [f"{self.path}/{final(user, kind)}" for kind in self.taken(user)]
        return f"rm {shlex.join(paths)}"


def final(user: str, kind: str) -> str:
    """The name of a user's sheet or picture."""
    return f"{user}{kind}"


def temporary(user: str, kind: str) -> str:
    """Its name until the secret is saved; none that a sheet can have."""
    return f".{user}{kind}.new"


def fault_of_name(user: str) -> str:
    """Why a user's name can be no file's; empty if it can."""
    if "/" in user or len(os.fsencode(temporary(user, SHEET))) > 255:  # NAME_MAX (limits.h)
        return "the user name cannot be used as a file name"
    return ""
