"""A grant: root lets one user in without a code, until a time or for a single login.

/var/lib/pam-totp/grants/UID, "grant 2": a line "pam-totp grant 2 FROM UNTIL MANY|ONCE NAME", times
in Unix seconds. It holds for FROM <= now < UNTIL: a clock set back does not revive it; and for the
account of that id and that name, which comes last as it is bytes of any kind: whoever gets the id
of a user that was removed gets no grant with it. "pam-totp grant 1" had no name, and is read.
"""

import pwd
import sys

from pam_totp.records.storage import state_dir
from pam_totp.records.storage.opened import Opened
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure

KIND = "grants"


class Grant:
    """since, until: Unix seconds; once: good for a single login."""

    __slots__ = ("once", "since", "until")

    def __init__(self, since: int, until: int, once: bool) -> None:
        self.since = since
        self.until = until
        self.once = once


def read(uid: int, now: float) -> Grant | None:
    """The grant in force at `now`, if any. Raises Failure."""
    content = state_dir.read(KIND, str(uid))
    if content is None:
        return None
    try:
        ours, kind, version, since, until, times, *name = content.removesuffix(b"\n").split(b" ", 6)
        grant = Grant(int(since), int(until), times == b"ONCE")
        if (ours, kind) != (b"pam-totp", b"grant") or times not in (b"ONCE", b"MANY"):
            raise ValueError
        if (version, len(name)) not in ((b"1", 0), (b"2", 1)):
            raise ValueError
    except ValueError:
        raise Failure(STATE_UNAVAILABLE, f"the grant of user id {uid} is malformed") from None
    if not grant.since <= now < grant.until:
        return None
    if name and name != [_name_of(uid)]:
        detail = f"the grant of user id {uid} was given to an account of another name"
        raise Failure(STATE_UNAVAILABLE, f"{detail}: pam-totp grant USER --end")
    return grant


def use(uid: int, now: float) -> bool:
    """Whether a grant lets this login in. One that is good once is gone before the yes."""
    grant = read(uid, now)
    if grant is None:
        return False
    try:
        return revoke(uid) if grant.once else True
    except OSError as failure:
        raise Failure(STATE_UNAVAILABLE, f"cannot use up the grant: {failure.strerror}") from None


def give(uid: int, grant: Grant) -> None:
    """Records a grant in place of any other. Raises OSError or Failure."""
    folder = state_dir.open_folder(KIND, make=True)
    assert folder is not None
    times = "ONCE" if grant.once else "MANY"
    with Opened(folder):
        line = f"pam-totp grant 2 {grant.since} {grant.until} {times} ".encode("ascii")
        state_dir.replace(folder, str(uid), line + _name_of(uid) + b"\n")


def revoke(uid: int) -> bool:
    """Removes the grant; whether this call did it. Raises OSError (durable.remove) or Failure."""
    folder = state_dir.open_folder(KIND)
    if folder is None:
        return False
    with Opened(folder):
        return state_dir.remove(folder, str(uid))


def _name_of(uid: int) -> bytes:
    """The account's name as it is in the database, whatever the locale. Raises Failure."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        detail = f"user id {uid} is not in the password database"
        raise Failure(STATE_UNAVAILABLE, detail) from None
    return name.encode(sys.getfilesystemencoding(), "surrogateescape")
