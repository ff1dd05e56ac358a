"""A grant: root lets one user in without a code, until a time or for a single login.

/var/lib/pam-totp/grants/UID, "grant 1": one line "pam-totp grant 1 FROM UNTIL MANY|ONCE", times
in Unix seconds. It holds for FROM <= now < UNTIL: a clock set back does not revive it.
"""

import posix

from pam_totp.records import durable
from pam_totp.rules.refusal import STATE_UNAVAILABLE, Refused

KIND = "grants"


class Grant:
    """since, until: Unix seconds; once: good for a single login."""

    __slots__ = ("once", "since", "until")

    def __init__(self, since: int, until: int, once: bool) -> None:
        self.since = since
        self.until = until
        self.once = once


def read(uid: int, now: float) -> Grant | None:
    """The grant in force at `now`, if any. Raises Refused."""
    content = durable.read(KIND, str(uid))
    if content is None:
        return None
    try:
        name, kind, version, since, until, times = content.decode("ascii").split()
        grant = Grant(int(since), int(until), times == "ONCE")
        if (name, kind, version) != ("pam-totp", "grant", "1") or times not in ("ONCE", "MANY"):
            raise ValueError
    except ValueError:
        raise Refused(STATE_UNAVAILABLE, f"the grant of user id {uid} is malformed") from None
    return grant if grant.since <= now < grant.until else None


def use(uid: int, now: float) -> bool:
    """Whether a grant lets this login in. One that is good once is gone before the yes."""
    grant = read(uid, now)
    if grant is None:
        return False
    try:
        return revoke(uid) if grant.once else True
    except OSError as failure:
        raise Refused(STATE_UNAVAILABLE, f"cannot use up the grant: {failure.strerror}") from None


def give(uid: int, grant: Grant) -> None:
    """Records a grant in place of any other. Raises OSError or Refused."""
    folder = durable.open_folder(KIND, make=True)
    assert folder is not None
    times = "ONCE" if grant.once else "MANY"
    try:
        line = f"pam-totp grant 1 {grant.since} {grant.until} {times}\n"
        durable.replace(folder, str(uid), line.encode("ascii"))
    finally:
        posix.close(folder)


def revoke(uid: int) -> bool:
    """Removes the grant; whether this call did it. Raises OSError (durable.remove) or Refused."""
    folder = durable.open_folder(KIND)
    if folder is None:
        return False
    try:
        return durable.remove(folder, str(uid))
    finally:
        posix.close(folder)
