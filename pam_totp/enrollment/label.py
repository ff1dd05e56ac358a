# SPDX-License-Identifier: MIT
"""What tells the new entry of an app from those made before, and how long it may be."""

import time

from pam_totp.enrollment.qr import version_of
from pam_totp.rules.credential import parse_file

MAX_VERSION = 6  # the largest QR code that fits 80x24 with the key below it


def fits_terminal(uri: str) -> bool:
    """Whether a terminal of 80x24 shows its QR code and its key."""
    return version_of(uri) <= MAX_VERSION


def additions_to_label(
    device: str | None, existing: bytes | None, now: time.struct_time
) -> tuple[str, ...]:
    """What may tell the new entry of an app from those made before: the device, if it was named and
    no entry has it yet, and the time; nothing for the first."""
    if existing is None:
        return ("",)
    name = (device or "").replace(":", ".")  # apps split issuer and label at a colon
    used = tuple(credential.account for credential in parse_file(existing)[0])
    minute, second = (time.strftime(f"%Y-%m-%dT%H%M{more}", now) for more in ("", "%S"))
    moment = second if any(account.endswith(f" {minute}") for account in used) else minute
    if name and not any(account.endswith(f" {name}") for account in used):
        return name, moment
    return (moment,)
