# SPDX-License-Identifier: MIT
"""Which user gets which tokens of a maker's list: named by root, or by a table (CSV) with a serial
number and a user on each line. Pure.

- A token MUST go to one user. Who is not clear gets none, and so does whoever would get another one
  with it; nobody else suffers.
"""

from collections import Counter

from pam_totp.imports import key_text, table
from pam_totp.imports.found import Entry, Unusable
from pam_totp.imports.seeds import SERIALS, called
from pam_totp.rules.record import Record

MAX_LISTED = 20
LIKE_A_KEY = 16  # bytes: no user has such a name
_USERS = ("user", "username", "login", "loginname", "account", "assignedto")
_COLUMNS = dict.fromkeys(SERIALS, "serial number") | dict.fromkeys(_USERS, "user")


class Assigned(Record):
    """tokens: by the name of the user; faults: why not, by user or by line of the table."""

    tokens: dict[str, list[Entry]]
    faults: dict[str, str]


def chosen(entries: list[Entry], serials: list[str]) -> list[Entry]:
    """The tokens with these serial numbers; without any, the only one. Raises Unusable."""
    by_serial = _by_serial(entries)
    if len(entries) == 1 and not serials:
        serials = list(by_serial)
    missing = [serial for serial in serials if serial not in by_serial]
    if missing or not serials:
        listed = ", ".join(list(by_serial)[:MAX_LISTED])
        more = f", and {len(by_serial) - MAX_LISTED} more" if len(by_serial) > MAX_LISTED else ""
        what = f"there is no token {missing[0]!r}" if missing else "name a token"
        raise Unusable(f"{what}; the file has {listed}{more}", f"--entry={next(iter(by_serial))}")
    found = [by_serial[serial] for serial in dict.fromkeys(serials)]
    for entry in found:
        if entry.found is None:
            raise Unusable(f"the token {called(entry)}: {entry.fault}", entry.hint)
    return found


def by_user(entries: list[Entry], content: bytes) -> Assigned:
    """What the users of a table get. Raises Unusable."""
    found = table.read(content, _COLUMNS, ("serial number", "user"))
    by_serial = _by_serial(entries)
    times = Counter(row.fields.get("serial number", "") for row in found.rows)
    assigned = Assigned(tokens={}, faults={})
    for row in found.rows:
        serial, user = row.fields.get("serial number", ""), row.fields.get("user", "")
        if key_text.is_like_a_key(user, LIKE_A_KEY):  # a list of tokens in place of the table
            raise Unusable(f"line {row.line} of the table: the user may be a key")
        try:
            if row.fault or not serial or not user:
                raise Unusable(row.fault or "a line must have a serial number and a user")
            if times[serial] > 1:
                raise Unusable(f"the token {serial} is assigned {times[serial]} times")
            if serial not in by_serial:
                raise Unusable(f"there is no token {serial} in the list")
            if by_serial[serial].found is None:
                raise Unusable(f"the token {called(by_serial[serial])}: {by_serial[serial].fault}")
            assigned.tokens.setdefault(user, []).append(by_serial[serial])
        except Unusable as fault:
            place = f"line {row.line} of the table"
            assigned.faults.setdefault(user or place, f"{place}: {fault.message}")
    for user in assigned.faults:
        assigned.tokens.pop(user, None)
    if not assigned.tokens and not assigned.faults:
        raise Unusable("the table assigns no token")
    return assigned


def _by_serial(entries: list[Entry]) -> dict[str, Entry]:
    """Of several with one serial number, one that can be imported if there is one: a PIN has that
    of its token."""
    return {entry.name: entry for entry in sorted(entries, key=lambda each: each.found is not None)}
