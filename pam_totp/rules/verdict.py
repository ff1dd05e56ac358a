# SPDX-License-Identifier: MIT
"""What becomes of a code. Pure."""

from pam_totp.rules.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pam_totp.rules.credential import Credential


class Verdict(Record):
    """accepted: whether the code is; reason: of the closed set; credential and step: what matched,
    if any, or the device of it alone; detail: for the log; message: for the user; only_sent: the
    code was sent, and no app of the user is known."""

    accepted: bool
    reason: str
    credential: "Credential | None" = None
    step: int = 0
    detail: str = ""
    message: str = ""
    device: str = ""
    only_sent: bool = False
