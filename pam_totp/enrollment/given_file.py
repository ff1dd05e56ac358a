# SPDX-License-Identifier: MIT
"""Files that a command is given: one that root named, and one in a user's home.

- A file in a home MUST be read as a secret is: as its user, along a way that nobody else can
  change, and never through a link.
- A read MUST be bounded, and MUST NOT wait but where root may name a pipe.
"""

import os
import posix
import pwd
import stat
import sys

from pam_totp.enrollment.open_file import warn_of_readers
from pam_totp.errors import Error, quoted
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.walk import Walk
from pam_totp.rules.reasons import SECRET_MISSING, Failure

MAX_BYTES = 16 * 1024 * 1024
STANDARD_INPUT = "-"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Home(NamingSecretDir):
    """A user's home, in which one file of another program is read as a login reads a secret."""

    __slots__ = ()

    def __init__(self, account: pwd.struct_passwd, name: str) -> None:
        super().__init__(account)
        self._names, self.path = (name,), account.pw_dir

    def open(self, *, even_if_unsafe: bool = False) -> int | None:
        """A descriptor of the home. Raises Failure or OSError."""
        walk = Walk(user=self.owner, is_checked=not even_if_unsafe)
        arrived = False
        try:
            walk.go(self._top, follow=True)
            arrived = True
            return walk.folder
        except FileNotFoundError:
            raise Failure(SECRET_MISSING, f"{self._top} does not exist") from None
        finally:
            if walk.folder >= 0 and not arrived:
                posix.close(walk.folder)


def shown(path: str) -> str:
    """What a file that root named is called."""
    return "standard input" if path == STANDARD_INPUT else path


def read(path: str, *, may_be_a_pipe: bool = False, has_secrets: bool = False) -> bytes:
    """The content of a file that root named, or of standard input. may_be_a_pipe: as of
    `<(command)` in a shell; then who writes to it is waited for, but not for somebody who would
    open it. has_secrets: warns if others can read it. Raises Error."""
    name = shown(path)
    try:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(os.open(path, _FLAGS), "rb") as file:
                os.set_blocking(file.fileno(), True)
                is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                if not is_file and not may_be_a_pipe:
                    raise Error(f"{name} is not a file", "name a file, or - for standard input")
                if has_secrets:
                    warn_of_readers(file.fileno(), path)
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as failure:
        message = getattr(failure, "strerror", "") or str(failure)
        hint = "name a file" if path == STANDARD_INPUT else f"ls -l {quoted(path)}"
        raise Error(f"cannot read {name}: {message}", hint) from None
    if len(content) > MAX_BYTES:
        raise Error(f"{name} is larger than {MAX_BYTES:,} bytes", "name a smaller file")
    return content
