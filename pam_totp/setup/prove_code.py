# SPDX-License-Identifier: MIT
"""Who turns codes on proves a code first: without one, that person would be the first refused."""

import pwd

from pam_totp.enrollment.code_check import credentials_of, device_of
from pam_totp.enrollment.terminal import ask, say
from pam_totp.errors import Error

TRIES = 3


def prove_code(account: pwd.struct_passwd) -> str:
    """Asks for a code until a login would accept it; the device that it is from. It is not used up:
    the login that follows may be with the same one. Raises Error, also where the account has not
    enrolled."""
    try:
        credentials = credentials_of(account)
    except Error as fault:
        hint = fault.hint
        if hint == "pam-totp enroll":
            hint = f"pam-totp enroll   # as {account.pw_name}, without sudo"
        raise Error(f"{fault.message}; nothing was changed", hint) from None
    for tries_left in reversed(range(TRIES)):
        typed = ask(f"Verification code of {account.pw_name}: ")
        try:
            return device_of(account, credentials, typed)
        except Error as fault:
            if not tries_left:
                raise Error(f"{fault.message}; nothing was changed", fault.hint) from None
            say(f"{fault.message[0].upper()}{fault.message[1:]}.")
            say(f"Try again: {fault.hint}.")
    raise AssertionError
