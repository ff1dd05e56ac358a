# SPDX-License-Identifier: MIT
"""A file of secrets that others can read: it is used, since nothing is undone by refusing it, and
who named it is told."""

import os
import stat
import sys

from pam_totp.errors import printable
from pam_totp.listing import fit

_GROUP, _OTHERS = 0o040, 0o004
_HINT = "remove it, and have its users enroll anew if somebody may have read it"


def warn_of_readers(file: int, path: str) -> None:
    """Says on standard error that other users can read an open file, by this name."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        return
    is_open = status.st_mode & _OTHERS and _others_can_enter(os.path.dirname(path))
    if is_open or (status.st_mode & _GROUP and status.st_gid not in (0, os.getegid())):
        what = f"{path} can be read by other users (mode {stat.S_IMODE(status.st_mode):04o})"
        message = f"pam-totp: warning: {what}, who may have copied the secrets in it"
        print(fit(printable(message), sys.stderr), file=sys.stderr)
        print(f"hint: {_HINT}", file=sys.stderr)


def _others_can_enter(folder: str) -> bool:
    """Whether every folder down to this one lets them through."""
    at = os.path.realpath(folder)
    while True:
        if not os.stat(at).st_mode & stat.S_IXOTH:
            return False
        if at == "/":
            return True
        at = os.path.dirname(at)
