# SPDX-License-Identifier: MIT
"""`pam-totp check`: whether a code would be accepted. Nothing is used up."""

import argparse
import os

from pam_totp.enrollment.code_check import credentials_of, device_of
from pam_totp.enrollment.identity import own_account
from pam_totp.enrollment.terminal import ask

HELP = "check whether a code would be accepted"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """`pam-totp check` takes no options."""


def run(_options: argparse.Namespace) -> int:
    """Asks for a code and says whether it would be accepted. Raises Error."""
    account = own_account()
    credentials = credentials_of(account)
    device = device_of(account, credentials, ask("Verification code: "))
    print(f"This code from {device!r} would be accepted.")
    print("It has not been used up.")
    if os.geteuid() != 0:
        print("Only root can see whether it was already used, and whether there is a wait after")
        print("incorrect codes.")
    return 0
