"""The system password, asked again before a secret is replaced."""

import os
import pwd

from pam_totp.enroll.terminal import ask_password
from pam_totp.fault import Fault

# A service of our own that never asks for a code: python-pam answers every hidden prompt with
# the password, and would submit it as the code.
SERVICE = "pam-totp"
TRIES = 3


def confirm(account: pwd.struct_passwd) -> None:
    """Returns once the account's password was typed. Raises Fault after TRIES wrong ones."""
    if not os.path.exists(f"/etc/pam.d/{SERVICE}"):
        raise Fault(f"/etc/pam.d/{SERVICE} is missing", "install the package pam-totp again")
    for _ in range(TRIES):
        wrong = what_is_wrong(account, ask_password(f"System password of {account.pw_name}: "))
        if not wrong:
            return
        print(f"Not accepted ({wrong}).")
    raise Fault("the password was not accepted: nothing was changed", "pam-totp enroll")


def what_is_wrong(account: pwd.struct_passwd, typed: str) -> str:
    """Empty if this is the account's password; else what PAM says of it."""
    import pam  # ctypes and libpam: only where it is needed

    authenticator = pam.PamAuthenticator()
    if "\0" not in typed and authenticator.authenticate(
        account.pw_name, typed, service=SERVICE, resetcreds=False
    ):
        return ""
    return authenticator.reason or "wrong password"
