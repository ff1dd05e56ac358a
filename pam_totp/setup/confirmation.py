# SPDX-License-Identifier: MIT
"""The question before files are changed."""

import shlex
import sys

from pam_totp.enrollment.terminal import is_confirmed
from pam_totp.errors import Error, UsageError


def confirm_change(*, json: bool) -> None:
    """Asks for a yes. json: standard output is for one object, so nobody can be asked. Raises
    Error."""
    if json:
        raise UsageError("--json needs --yes; nothing was changed", "add --yes")
    try:
        confirmed = is_confirmed("Change these files?")
    except Error as fault:
        raise Error(fault.message, shlex.join(["pam-totp", *sys.argv[1:], "--yes"])) from None
    if not confirmed:
        raise Error("not confirmed; nothing was changed", "answer y, or use --yes")
