# SPDX-License-Identifier: MIT
"""The verdict on a code. Pure."""

from pam_totp.rules.credential import Credential
from pam_totp.rules.record import Record


class Verdict(Record):
    """accepted: whether the code is; reason: of the closed set; credential and step: what matched,
    if any; detail: for the log; message: for the user."""

    accepted: bool
    reason: str
    credential: Credential | None = None
    step: int = 0
    detail: str = ""
    message: str = ""
