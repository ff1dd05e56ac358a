# SPDX-License-Identifier: MIT
"""Proof that whoever sits there is the owner: a code of a device, or the system password."""

import pwd
import time

from pam_totp.enrollment.identity import confirm
from pam_totp.enrollment.one_try import one_try
from pam_totp.enrollment.terminal import ask
from pam_totp.errors import Error
from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import verdict_on
from pam_totp.rules.reasons import Failure
from pam_totp.rules.typed_code import read_code


def confirm_with_code(
    account: pwd.struct_passwd, credentials: list[Credential], by_root: str
) -> None:
    """Asks for a code and, after an empty answer, for the password. Raises Error, with the command
    by which root helps a user who has neither. Only root knows which codes of a token that counts
    are used, so they prove nothing here."""
    credentials = [each for each in credentials if each.counter is None]
    if not credentials:
        confirm(account, by_root)
        return
    typed = ask("Code from the app (or press Enter to use the system password): ")
    if not typed.strip():
        confirm(account, by_root)
        return
    if not _is_correct(account, credentials, typed):
        raise Error(
            "incorrect code; nothing was changed",
            "try again; without the phone, press Enter, then enter the system password",
        )


def _is_correct(account: pwd.struct_passwd, credentials: list[Credential], typed: str) -> bool:
    try:
        code = read_code(typed.encode())
    except Failure:
        return False
    with one_try(account, credentials) as tried:
        is_correct = verdict_on(tried.compared, code, time.time(), {}).accepted
        tried.is_guess = not is_correct
    return is_correct
