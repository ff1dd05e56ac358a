# SPDX-License-Identifier: MIT
"""Recording the contacts of many users: all, or none if one of them has a fault. A disk that fails,
and Ctrl-C, end it between two users; run again, it goes on."""

from collections.abc import Callable

from pam_totp import progress
from pam_totp.contacts import changing
from pam_totp.contacts.changing import Contacts
from pam_totp.contacts.wanted import Listed
from pam_totp.errors import Error
from pam_totp.signals import later


def record_all(
    listed: Listed, warn: Callable[[str, str], None]
) -> tuple[list[tuple[str, Contacts]], int]:
    """Each user with all contacts now, and of how many they were changed. warn: is told each kind
    and address. While it runs, no other command may change contacts. Raises Error."""
    listed.refuse_faults()
    for each in listed.wanted:
        for kind, contact in each.contacts.items():
            warn(kind, contact.address)
    rows, changed = list[tuple[str, Contacts]](), 0
    try:
        for each in progress.told(listed.wanted, len(listed.wanted), "users"):
            with later():
                now, kinds = changing.record(each.account, each.contacts)
                rows.append((each.account.pw_name, now))
                changed += bool(kinds)
    except KeyboardInterrupt:
        raise Error(f"interrupted; {_done(len(rows))}", "run the command again") from None
    except Error as error:
        if not rows:
            raise
        what = error.message.removesuffix(changing.UNCHANGED)
        raise Error(f"{what}; {_done(len(rows))}", error.hint) from None
    return rows, changed


def _done(users: int) -> str:
    plural = "" if users == 1 else "s"
    return f"the contacts of {users} user{plural} are recorded, and the others are not"
