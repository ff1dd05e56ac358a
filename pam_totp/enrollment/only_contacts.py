# SPDX-License-Identifier: MIT
"""A user who has no device, but a contact to which codes are sent."""

import os
import pwd

from pam_totp.records.user import contacts
from pam_totp.rules.reasons import Failure


def but_contacts(account: pwd.struct_passwd) -> str:
    """What follows the words "not enrolled": the contacts that the user has, empty if there are
    none, or if the caller cannot see root's record."""
    if os.geteuid() != 0:
        return ""
    try:
        found = contacts.read(account).items()
    except Failure:
        return ""
    shown = [f"{kind} {each.address}{_state(each.confirmed)}" for kind, each in found]
    return f" with a device, but has a contact: {', '.join(shown)}" if shown else ""


def _state(confirmed: int) -> str:
    return "" if confirmed else " (unconfirmed)"
