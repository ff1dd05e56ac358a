# SPDX-License-Identifier: MIT
"""What many users are to get, from a table or from a directory: all of it, or none.

- Every user MUST be looked at before anything is changed, and every fault be told.
"""

import pwd
import sys

from pam_totp.contacts.changing import UNCHANGED, key_of, taken
from pam_totp.errors import Error, printable
from pam_totp.listing import fit
from pam_totp.records.user.contacts import Contact
from pam_totp.rules.record import Record


class Wanted(Record):
    """The contacts of a user, which are not confirmed, by kind; of the kinds that are not there,
    nothing is said. place: a line, or which one of the users it is."""

    place: int
    account: pwd.struct_passwd
    contacts: dict[str, Contact]


class Listed:
    """Where it comes from. wanted: what can be used; faults: by place, why others cannot be."""

    what, hint = "", ""  # how the places are counted that have faults; what to do then

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.faults: dict[int, str] = {}

    def called(self, place: int) -> str:
        """The place, as faults begin with it."""
        raise NotImplementedError

    def at(self, place: int) -> str:
        """The place in a sentence that names its user; may be empty."""
        raise NotImplementedError

    def refuse_faults(self) -> None:
        """While no other command changes contacts. Raises Error, with each fault printed before."""
        self._refuse_twice()
        for place, fault in sorted(self.faults.items()):
            text = printable(f"{self.called(place)}: {fault}")
            print(fit(text, sys.stderr), file=sys.stderr)
        if self.faults:
            raise Error(f"{self.what}: {len(self.faults)}{UNCHANGED}", self.hint)

    def _refuse_twice(self) -> None:
        """A user in two places, and an address of two users. Raises Error."""
        users: dict[int, Wanted] = {}
        seen: dict[tuple[str, str], Wanted] = {}
        replaced = {(each.account.pw_uid, kind) for each in self.wanted for kind in each.contacts}
        others = taken(replaced)
        for each in self.wanted:
            first = users.setdefault(each.account.pw_uid, each)
            if first is not each:
                self.faults[each.place] = f"{each.account.pw_name} is{self.at(first.place)} already"
                continue
            for kind, contact in each.contacts.items():
                key = key_of(kind, contact.address)
                other = seen.setdefault(key, each)
                if other is not each:
                    whose = f"{other.account.pw_name}{self.at(other.place)}"
                    self.faults[each.place] = f"{contact.address} is for {whose} already"
                elif key in others:
                    self.faults[each.place] = f"{contact.address} is a contact of {others[key]}"
