# SPDX-License-Identifier: MIT
"""A grant: root allows a user to log in without a code, until a time or for one login.

/var/lib/pam-totp/grants/UID: the line "pam-totp grant 1 FROM UNTIL MANY|ONCE NAME", times in Unix
seconds. It counts for FROM <= now < UNTIL: a clock that was set back does not revive it; and for
the account of that id and that name, which comes last as it may be bytes of any kind, so the
next user with the id of a removed one does not get the grant.
"""

import pwd
import sys

from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record

KIND = "grants"

_HEADER = [b"pam-totp", b"grant", b"1"]


class Grant(Record):
    """since, until: Unix seconds; once: valid for one login."""

    since: int
    until: int
    once: bool


def read(uid: int, now: float) -> Grant | None:
    """The grant that is valid at `now`, if any. Raises Failure."""
    content = VAR.read(KIND, uid)
    if content is None:
        return None
    try:
        *header, since, until, times, name = content.removesuffix(b"\n").split(b" ", 6)
        grant = Grant(since=int(since), until=int(until), once=times == b"ONCE")
        if header != _HEADER or times not in (b"ONCE", b"MANY"):
            raise ValueError
    except ValueError:
        raise Failure(STATE_UNAVAILABLE, f"the grant of user id {uid} is malformed") from None
    if not grant.since <= now < grant.until:
        return None
    if name != name_of(uid):
        detail = f"the grant of user id {uid} belongs to an account of another name"
        raise Failure(STATE_UNAVAILABLE, f"{detail}; run: pam-totp grant USER --end")
    return grant


def use_up(uid: int, now: float) -> bool:
    """Whether a grant allows this login. One that is valid once is removed first. Raises
    Failure."""
    grant = read(uid, now)
    if grant is None:
        return False
    try:
        return revoke(uid) if grant.once else True
    except OSError as failure:
        raise Failure(STATE_UNAVAILABLE, f"cannot use up the grant: {failure.strerror}") from None


def revoke(uid: int) -> bool:
    """Removes the grant; whether this call did it. Raises OSError (StateDir.remove) or Failure."""
    return VAR.remove(KIND, uid)


def name_of(uid: int) -> bytes:
    """The account's name as it is in the database, whatever the locale. Raises Failure."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        detail = f"user id {uid} is not in the password database"
        raise Failure(STATE_UNAVAILABLE, detail) from None
    return name.encode(sys.getfilesystemencoding(), "surrogateescape")
