"""The system password, as PAM checks it: for commands, and for enrolling at a login."""

import pwd

# A service of our own that never asks for a code: python-pam answers every hidden prompt with
# the password, and would submit it as the code.
SERVICE = "pam-totp"
# Linux-PAM's _pam_types.h, PAM_NEW_AUTHTOK_REQD: the password is correct, and has to be changed.
RIGHT_BUT_OLD = 12


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
