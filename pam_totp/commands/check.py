# SPDX-License-Identifier: MIT
"""`pam-totp check`: whether a code would be accepted. Nothing is used up."""

import argparse
import os

from pam_totp.enrollment.code_check import credential_of, credentials_of
from pam_totp.enrollment.identity import own_account
from pam_totp.enrollment.terminal import ask

HELP = "check whether a code would be accepted"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """`pam-totp check` takes no options."""


def run(_options: argparse.Namespace) -> int:
    """Asks for a code and says whether it would be accepted. Raises Error."""
    account = own_account()
    credentials = credentials_of(account)
    found, counter = credential_of(account, credentials, ask("Verification code: "))
    if counter is not None and os.geteuid() != 0:
        print(f"This is a code of {found.device!r}, with the counter {counter}.")
        print("It has not been used up.")
        print("Only root can see which counters were used, so it cannot be determined whether a")
        print("login would accept it.")
        return 0
    print(f"This code from {found.device!r} would be accepted.")
    print("It has not been used up.")
    if os.geteuid() != 0:
        print("Only root can see whether it was already used, and whether there is a wait after")
        print("incorrect codes.")
    return 0
