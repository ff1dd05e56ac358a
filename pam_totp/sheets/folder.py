# SPDX-License-Identifier: MIT
"""The folder with a sheet for each user: USER.html, root's alone.

- Nobody else MUST be able to change the way to it, or what lies in it: it is walked as the way to a
  secret is (pam_totp.records.storage.walk), and everything in it is opened relative to it.
- A sheet MUST be on the disk, under its temporary name, before the secret on it is saved, and MUST
  get its own name right after. So a command that is killed leaves either a sheet whose secret was
  not saved, which the next one removes, or one whose secret was, which the next one finds by it.
- A sheet MUST never take the place of another file.
"""

import contextlib
import fcntl
import html
import json
import os
import pwd
import re
import shlex
from dataclasses import asdict, dataclass
from types import TracebackType

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage import checked_file
from pam_totp.records.storage.checked_file import OPEN_TO_OTHERS, Checks, Opened
from pam_totp.records.storage.state_dir import write
from pam_totp.records.storage.walk import Walk
from pam_totp.rules.credential import Malformed, parse_line
from pam_totp.rules.reasons import Failure

_CHECKS = Checks(forbidden_mode=OPEN_TO_OTHERS, max_bytes=1024 * 1024)
_ROW = re.compile(r'<meta name="pam-totp" content="([^"]*)">')


@dataclass(frozen=True)
class Row:
    """What a sheet says, for programs. key: in groups; codes: recovery codes, in groups."""

    user: str
    device: str
    key: str
    uri: str
    codes: list[str]

    def element(self) -> str:
        """For the head of the sheet."""
        return f'<meta name="pam-totp" content="{html.escape(json.dumps(asdict(self)))}">\n'

    def identity(self) -> str:
        """Of the secret. Raises Malformed."""
        return parse_line(self.uri).identity


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
        self.leave()

    def leave(self) -> None:
        """Closes it. In a child of this process the lock stays its parent's."""
        if self._folder >= 0:
            os.close(self._folder)
        self._folder = -1

    def find(self, user: str) -> Row | None:
        """The sheet of a user; None without one, or where the file is none. Raises Error."""
        return self._read(final(user))

    def find_unfinished(self, user: str) -> Row | None:
        """That of a command that was killed."""
        return self._read(temporary(user))

    def has(self, user: str) -> bool:
        """Whether something has the name of the user's sheet."""
        try:
            os.stat(final(user), dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _read(self, name: str) -> Row | None:
        path = f"{self.path}/{name}"
        try:
            content = checked_file.read(self._folder, name, path, _CHECKS).decode("utf-8")
            found = _ROW.search(content.partition("</head>")[0])
            row = Row(**json.loads(html.unescape(found[1]))) if found else None
            return row if row and row.identity() else None
        except (OSError, Failure, ValueError, TypeError, Malformed):
            return None

    def write(self, user: str, document: str) -> None:
        """Puts a sheet there, durably, under its temporary name. Raises Error."""
        name = temporary(user)
        try:
            self.discard(user)
            write(self._folder, name, document.encode("utf-8", "replace"))
            os.fsync(self._folder)
        except OSError as failure:
            self.discard(user)
            raise self.error(f"{self.path}/{final(user)}", failure) from None

    def discard(self, user: str) -> None:
        """Removes the one with the temporary name, if there is one."""
        with contextlib.suppress(OSError):
            os.unlink(temporary(user), dir_fd=self._folder)

    def publish(self, user: str) -> None:
        """Gives the sheet its own name, which nothing has. Raises Error: then it keeps the other,
        and the next command finds it there."""
        source, target = temporary(user), final(user)
        try:
            os.rename(source, target, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError as failure:
            raise self.error(f"{self.path}/{target}", failure) from None

    def error(self, path: str, failure: OSError) -> Error:
        """That of a system call."""
        fault, hint = repair.split(failure.strerror or str(failure), self._way)
        return Error(f"cannot write {path}: {fault}", hint)

    def removal(self, user: str) -> str:
        """The command that removes what has the name of a sheet."""
        return f"rm {shlex.quote(f'{self.path}/{final(user)}')}"


def final(user: str) -> str:
    """The name of a user's sheet."""
    return f"{user}.html"


def temporary(user: str) -> str:
    """Its name until the secret is saved; none that a sheet can have."""
    return f".{user}.html.new"


def fault_of_name(user: str) -> str:
    """Why a user's name can be no file's; empty if it can."""
    if "/" in user or len(os.fsencode(temporary(user))) > 255:  # NAME_MAX (limits.h)
        return "the user name cannot be used as a file name"
    return ""
