# SPDX-License-Identifier: MIT
"""The contacts of a user who is reset: text messages go to the phone that is lost."""

import os
import pwd

from pam_totp.contacts import changing
from pam_totp.errors import command
from pam_totp.records.user import contacts
from pam_totp.rules.reasons import Failure


def contacts_of(account: pwd.struct_passwd) -> changing.Contacts:
    """None of a record that cannot be read: it goes too."""
    try:
        return contacts.read(account)
    except Failure:
        return {}


def remove(account: pwd.struct_passwd) -> list[str]:
    """The path of the record, if there was one. Raises OSError, Failure or Error."""
    path = f"{changing.FOLDER}/{account.pw_uid}"
    if not os.path.lexists(path):
        return []
    with changing.alone():
        changing.remove_all(account)
    return [path]


def how_to_set_again(name: str, removed: changing.Contacts) -> str:
    """A line for each, with the command."""
    lines = []
    for kind, each in removed.items():
        again = command("contact", name, options=[f"--{kind}", each.address])
        lines.append(f"No code is sent to {each.address} any more. To set it again, run: {again}\n")
    return "".join(lines)
