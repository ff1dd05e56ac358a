"""The system password, asked again before a secret is replaced."""

import os
import pwd

from pam_totp.enrollment.terminal import ask_password, say
from pam_totp.errors import Error

# A service of our own that never asks for a code: python-pam answers every hidden prompt with
# the password, and would submit it as the code.
SERVICE = "pam-totp"
FOLDERS = ("/usr/lib/pam.d", "/etc/pam.d")  # where libpam looks; without a file it goes by `other`
TRIES = 3
# Linux-PAM's _pam_types.h, PAM_NEW_AUTHTOK_REQD: the password is right, and has to be changed.
RIGHT_BUT_OLD = 12


def confirm(account: pwd.struct_passwd) -> None:
    """Returns once the account's password was typed. Raises Error after TRIES wrong ones."""
    if not any(os.path.exists(f"{folder}/{SERVICE}") for folder in FOLDERS):
        raise Error(f"{FOLDERS[0]}/{SERVICE} is missing", "apt-get install --reinstall pam-totp")
    for _ in range(TRIES):
        wrong = what_is_wrong(account, ask_password(f"System password of {account.pw_name}: "))
        if not wrong:
            return
        say(f"Not accepted ({wrong}).")
    raise Error(
        "the password was not accepted: nothing was changed",
        f"who has no password asks root for it: pam-totp reset {account.pw_name}, or "
        f"pam-totp recovery-codes --user {account.pw_name}",
    )


def what_is_wrong(account: pwd.struct_passwd, typed: str) -> str:
    """Empty if this is the account's password; else what PAM says of it."""
    import pam  # ctypes and libpam: only where it is needed

    authenticator = pam.PamAuthenticator()
    # As bytes: a password need not be UTF-8.
    name, secret = (text.encode("utf-8", "surrogateescape") for text in (account.pw_name, typed))
    if b"\0" in secret:
        return "wrong password"
    if authenticator.authenticate(name, secret, service=SERVICE, resetcreds=False):
        return ""
    is_right = authenticator.code == RIGHT_BUT_OLD
    return "" if is_right else authenticator.reason or "wrong password"
