# SPDX-License-Identifier: MIT
"""Where codes are sent to a user: root's record /var/lib/pam-totp/contacts/UID.

- Only root MUST be able to change it: whoever could name another number would get the code.
- It MUST count for the account of that id and that name alone, as a grant does.

The line "pam-totp contacts 1 NAME" (a name may be bytes of any kind), then lines
"KIND ADDRESS CONFIRMED": the Unix time when a code that was sent there came back, or 0.
"""

import pwd
import sys

from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.records.user import remembered, sent
from pam_totp.rules.policy import SENT
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record

KIND = "contacts"
REPAIR = "pam-totp contact USER --remove"

_HEADER = b"pam-totp contacts 1 "


class Contact(Record):
    """address: a number as in E.164, or a mail address; confirmed: Unix seconds, 0 for never."""

    address: str
    confirmed: int = 0


def read(user: pwd.struct_passwd) -> dict[str, Contact]:
    """The user's contacts by kind ("sms", "mail"); none where the record is that of an account of
    another name. Raises Failure."""
    name, found = of_id(user.pw_uid)
    return found if name == _name(user) else {}


def has_confirmed(user: pwd.struct_passwd) -> bool:
    """Whether a code has come back from any of them. Raises Failure."""
    return any(each.confirmed for each in read(user).values())


def of_id(uid: int) -> tuple[bytes, dict[str, Contact]]:
    """What is recorded of a user id: the name of the account, and its contacts. Raises Failure."""
    content = VAR.read(KIND, uid)
    if content is None:
        return b"", {}
    header, *lines = content.split(b"\n")
    found = {}
    try:
        for line in lines[:-1]:
            kind, address, confirmed = line.decode("ascii").split(" ")
            found[kind] = Contact(address=address, confirmed=int(confirmed))
        if not header.startswith(_HEADER) or lines[-1:] != [b""] or not set(SENT).issuperset(found):
            raise ValueError
    except ValueError:
        detail = f"{VAR.path}/{KIND}/{uid} is malformed"
        raise Failure(STATE_UNAVAILABLE, f"{detail}; run: {REPAIR}") from None
    return header.removeprefix(_HEADER), found


def replace(user: pwd.struct_passwd, contacts: dict[str, Contact]) -> None:
    """As `write`, where addresses change: what was sent to an earlier one counts no more, and no
    login is remembered. Raises OSError or Failure."""
    for kind in (sent.KIND, remembered.KIND):
        RUN.remove(kind, user.pw_uid)
    write(user, contacts)


def write(user: pwd.struct_passwd, contacts: dict[str, Contact]) -> None:
    """Records these in place of all others; none of them removes the record. Raises OSError or
    Failure."""
    if not contacts:
        VAR.remove(KIND, user.pw_uid)
        return
    lines = [f"{kind} {each.address} {each.confirmed}\n" for kind, each in contacts.items()]
    VAR.write(KIND, user.pw_uid, _HEADER + _name(user) + b"\n" + "".join(lines).encode("ascii"))


def _name(user: pwd.struct_passwd) -> bytes:
    return user.pw_name.encode(sys.getfilesystemencoding(), "surrogateescape")
