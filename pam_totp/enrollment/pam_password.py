# SPDX-License-Identifier: MIT
"""The system password, as PAM checks it: for commands, and for enrolling at a login."""

import pwd

# A service of our own that never asks for a code: python-pam answers every hidden prompt with
# the password, and would submit it as the code.
SERVICE = "pam-totp"
# Linux-PAM's _pam_types.h, PAM_NEW_AUTHTOK_REQD: the password is correct, and has to be changed.
RIGHT_BUT_OLD = 12


def what_is_wrong(account: pwd.struct_passwd, typed: bytes) -> str:
    """Empty if this is the account's password; else what PAM says of it."""
    import ctypes.util  # these and libpam: only where they are needed

    # python-pam asks ldconfig twice, a process each time, for names that are the same everywhere.
    ctypes.util.find_library = "lib{}.so.0".format
    import pam

    authenticator = pam.PamAuthenticator()
    name = account.pw_name.encode("utf-8", "surrogateescape")
    if b"\0" in typed:
        return "wrong password"
    if authenticator.authenticate(name, typed, service=SERVICE, resetcreds=False):
        return ""
    is_right = authenticator.code == RIGHT_BUT_OLD
    return "" if is_right else authenticator.reason or "wrong password"
