# SPDX-License-Identifier: MIT
"""Everybody's contacts, for root's commands: no login needs those of others."""

import os
import pwd

from pam_totp.records.storage.state_dir import TEMPORARY, VAR
from pam_totp.records.user import contacts
from pam_totp.records.user.contacts import Contact
from pam_totp.rules.reasons import Failure
from pam_totp.rules.record import Record


class Recorded(Record):
    """A record. user: the name of the account that it counts for, empty if there is none; contacts:
    by kind; fault: why they cannot be read, empty if they can."""

    uid: int
    user: str
    contacts: dict[str, Contact]
    fault: str = ""


def everybody() -> list[Recorded]:
    """All records. Raises Failure where the folder cannot be read."""
    folder = VAR.open(contacts.KIND)
    if folder is None:
        return []
    try:
        names = sorted(name for name in os.listdir(folder) if TEMPORARY not in name)
    finally:
        os.close(folder)
    listed = {each.pw_uid: each.pw_name for each in reversed(pwd.getpwall())} if names else {}
    return [_recorded(int(name), listed) for name in names if name.isdecimal()]


def _recorded(uid: int, listed: dict[int, str]) -> Recorded:
    user = listed.get(uid) or _name_of(uid)
    try:
        name, found = contacts.of_id(uid)
    except Failure as failure:
        return Recorded(uid=uid, user=user, contacts={}, fault=failure.detail)
    return Recorded(uid=uid, user=user if os.fsencode(user) == name else "", contacts=found)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""
