# SPDX-License-Identifier: MIT
"""The contacts of users, from the directory of this host: its attributes mobile and mail.

- What is taken is a copy: a later change there MUST change nothing here by itself.
- An account of this host MUST NOT get the contacts of another one that has its name in the
  directory.
- What SSSD remembers of a directory that it does not reach MUST NOT be taken.
"""

import pwd
from collections.abc import Collection, Sequence
from contextlib import closing

from pam_totp import progress
from pam_totp.contacts.address import BadAddress, canonical
from pam_totp.contacts.changing import UNCHANGED
from pam_totp.contacts.infopipe import InfoPipe, Unknown
from pam_totp.contacts.wanted import Listed, Wanted
from pam_totp.errors import Error, command
from pam_totp.records.user.contacts import Contact
from pam_totp.rules.policy import MAIL, SMS

ATTRIBUTES = {SMS: "mobile", MAIL: "mail"}
MAX_CHARACTERS, MAX_SHOWN = 1000, 40


class Directory(Listed):
    """Of these accounts; `kinds` of contacts are taken. gone: names that nobody has."""

    what = "users of whom the directory has nothing that can be used"
    hint = "correct the directory, or name the other users with --users FILE"

    def __init__(
        self,
        accounts: Sequence[pwd.struct_passwd],
        kinds: Collection[str],
        gone: Sequence[str] = (),
    ) -> None:
        """Raises Error where the directory cannot be asked."""
        super().__init__()
        self._kinds, self._known, self._told = kinds, 0, 0
        self._names = [*(account.pw_name for account in accounts), *gone]
        with closing(InfoPipe()) as infopipe:
            for place, account in enumerate(progress.told(accounts, len(accounts), "users")):
                try:
                    found = self._contacts_of(infopipe, account)
                    self.wanted.append(Wanted(place=place, account=account, contacts=found))
                except BadAddress as bad:
                    self.faults[place] = bad.sentence
            for name in infopipe.offline():
                message = f"SSSD does not reach the directory of {name}{UNCHANGED}"
                raise Error(message, "systemctl status sssd")
        if self._known and not self._told:
            self.hint = "have SSSD tell mobile and mail, as pam-totp(1) shows"
        elif len(self._names) == 1:
            option = ["--sms", "NUMBER"] if SMS in kinds else ["--mail", "ADDRESS"]
            self.hint = command("contact", self._names[0], options=option)
        for place, _ in enumerate(gone, len(accounts)):
            self.faults[place] = "there is no such user"

    def called(self, place: int) -> str:
        """See Listed."""
        return self._names[place]

    def at(self, place: int) -> str:
        """See Listed."""
        return ""

    def _contacts_of(self, infopipe: InfoPipe, account: pwd.struct_passwd) -> dict[str, Contact]:
        try:
            uid, values = infopipe.user(account.pw_name)
        except Unknown:
            raise BadAddress("the directory does not know the user") from None
        if uid != account.pw_uid:
            raise BadAddress(f"in the directory it is another account (user id {uid})")
        self._known += 1
        self._told += any(values.get(ATTRIBUTES[kind]) for kind in self._kinds)
        found, faults = dict[str, Contact](), []
        for kind in self._kinds:
            name = ATTRIBUTES[kind]
            try:
                address = _only_one(kind, [each for each in values.get(name, ()) if each.strip()])
                found |= {kind: Contact(address=address)} if address else {}
            except BadAddress as bad:
                faults.append(f"{name}: {bad.sentence}")
        if faults or not found:
            names = " and no ".join(ATTRIBUTES[kind] for kind in self._kinds)
            raise BadAddress("; ".join(faults) or f"the directory tells no {names}")
        return found


def _only_one(kind: str, values: list[str]) -> str:
    """The address, empty if there is none. Raises BadAddress."""
    found = set()
    for value in values:
        if len(value) > MAX_CHARACTERS:
            raise BadAddress(f"the value has more than {MAX_CHARACTERS} characters")
        try:
            found.add(canonical(kind, value))
        except BadAddress as bad:
            shown = value[:MAX_SHOWN] + ("…" if len(value) > MAX_SHOWN else "")
            raise BadAddress(f"{bad.message} (got {shown!a})", bad.meant) from None
    if len(found) > 1:
        raise BadAddress(f"there are {len(found)} values, and which one is meant is unknown")
    return next(iter(found), "")
