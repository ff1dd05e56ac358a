# SPDX-License-Identifier: MIT
"""The system password, asked again before a secret is replaced."""

import os
import pwd

from pam_totp.enrollment.pam_password import SERVICE, what_is_wrong
from pam_totp.enrollment.terminal import ask_password, say
from pam_totp.errors import Error

FOLDERS = ("/usr/lib/pam.d", "/etc/pam.d")  # where libpam looks; without a file it goes by `other`
TRIES = 3


def confirm(account: pwd.struct_passwd, by_root: str) -> None:
    """Returns once the account's password was typed. Raises Error after TRIES incorrect ones, with
    the command by which root helps a user who has no password."""
    if not any(os.path.exists(f"{folder}/{SERVICE}") for folder in FOLDERS):
        raise Error(f"{FOLDERS[0]}/{SERVICE} is missing", "apt-get install --reinstall pam-totp")
    for _ in range(TRIES):
        typed = ask_password(f"System password of {account.pw_name}: ")
        # As bytes: a password need not be UTF-8.
        wrong = what_is_wrong(account, typed.encode("utf-8", "surrogateescape"))
        if not wrong:
            return
        say(f"Not accepted ({wrong}).")
    raise Error(
        "the password was not accepted; nothing was changed",
        f"without a password, ask root to run: {by_root}",
    )
