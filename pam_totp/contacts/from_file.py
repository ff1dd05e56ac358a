# SPDX-License-Identifier: MIT
"""The contacts of many users, from a table (CSV): user, sms, mail."""

from pam_totp.contacts.address import BadAddress, canonical
from pam_totp.contacts.wanted import Listed, Wanted
from pam_totp.enrollment import given_file
from pam_totp.enrollment.identity import no_user
from pam_totp.errors import Error
from pam_totp.imports import table
from pam_totp.imports.found import Unusable
from pam_totp.records.user.contacts import Contact
from pam_totp.rules.policy import MAIL, SENT, SMS
from pam_totp.sheets import names

MAX_COMPARED = 3  # unknown names, with all that are known
USER = "user"
_COLUMNS = (
    dict.fromkeys(("user", "username", "login", "loginname", "account", "uid"), USER)
    | dict.fromkeys(("sms", "mobile", "phone", "mobilephone", "number"), SMS)
    | dict.fromkeys(("mail", "email", "mailaddress", "emailaddress"), MAIL)
)


class Table(Listed):
    """A file."""

    hint = "correct the file, and run the command again"

    def __init__(self, path: str) -> None:
        """Raises Error where the file is no table."""
        super().__init__()
        self._shown = given_file.shown(path)
        self.what = f"lines of {self._shown} that cannot be used"
        content = given_file.read(path, may_be_a_pipe=True)
        try:
            rows = table.read(content, _COLUMNS, (USER, *SENT), needed=1).rows
        except Unusable as unusable:
            message = f"{self._shown}: {unusable.message}; nothing was changed"
            raise Error(message, "write user,sms,mail on each line") from None
        self._everybody = names.listed()
        for row in rows:
            try:
                self.wanted.append(self._wanted(row))
            except (Unusable, Error) as fault:
                self.faults[row.line] = fault.message
            except BadAddress as bad:
                self.faults[row.line] = bad.sentence

    def called(self, place: int) -> str:
        """See Listed."""
        return f"{self._shown}: line {place}"

    def at(self, place: int) -> str:
        """See Listed."""
        return f" on line {place}"

    def _wanted(self, row: table.Row) -> Wanted:
        name = row.fields.get(USER, "")
        if row.fault or not name:
            raise Unusable(row.fault or "there is no user")
        account = self._everybody.get(name) or names.account_called(name)
        if account is None:
            raise no_user(name, is_compared=len(self.faults) < MAX_COMPARED)
        found = {
            kind: Contact(address=canonical(kind, row.fields[kind]))
            for kind in SENT
            if row.fields.get(kind)
        }
        if not found:
            raise Unusable("there is no number and no mail address")
        return Wanted(place=row.line, account=account, contacts=found)
