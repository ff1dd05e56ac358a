# SPDX-License-Identifier: MIT
"""Codes that were sent for logins that are going on: root's /run/pam-totp/sent/UID.

- A code MUST be good for one login alone: that of the same user at the same service from the same
  address, in the same process of the application. Every hash is bound to all of these.
- It MUST count for KEPT_SECONDS at most, on a clock that nobody can set, and once.
- A process that reads in order to decide MUST hold the lock of the user's attempts.
- Whoever has the password can begin logins: they MUST NOT push out a code that was sent.

Lines "LOGIN UNTIL KIND HASH", those with a code first, of each kind the latest last, times in
seconds since boot. Without a code KIND and HASH are "-": the login has proved a first factor, so a
code may be sent for it.
"""

import posix
import pwd
from _operator import _compare_digest

from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user.attempts import Attempts, boot_seconds
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record
from pam_totp.rules.request import Request

KIND = "sent"  # the verifier looks at each login whether there is one, without this module
DIGITS = 8
KEPT_SECONDS = 300
# Of one user at once, with a code and without. As many codes as the settings allow in an hour.
MAX_LOGINS = 100
NONE = "-"


class Sent(Record):
    """login: hash of what the code is bound to; until: seconds since boot; kind: "sms", "mail" or
    NONE; code: its hash, or NONE."""

    login: str
    until: int
    kind: str = NONE
    code: str = NONE

    def is_code(self, typed: str) -> bool:
        """Whether this is the code, compared in constant time."""
        return bool(_compare_digest(self.code, hash_code(self.login, typed)))


def login_of(request: Request, user: pwd.struct_passwd) -> str:
    """The login that this process belongs to, hashed: its parent is the application. Raises
    OSError."""
    parent = posix.getppid()
    with open(f"/proc/{parent}/stat", "rb") as file:
        began = file.read(4096).rpartition(b")")[2].split()[19].decode("ascii")  # proc(5): 22
    who = [user.pw_name, str(user.pw_uid), request.service, request.rhost, request.ruser]
    return _hash("pam-totp sent 1", *who, request.tty, request.key, str(parent), began)


def read(uid: int) -> dict[str, Sent]:
    """What still counts, by login. Raises Failure."""
    content, now, found = RUN.read(KIND, uid) or b"", boot_seconds(), {}
    try:
        for line in content.decode("ascii").split("\n")[:-1]:
            login, until, kind, code = line.split(" ")
            if now < int(until) <= now + KEPT_SECONDS:
                found[login] = Sent(login=login, until=int(until), kind=kind, code=code)
    except ValueError:
        path = f"{RUN.path}/{KIND}/{uid}"
        raise Failure(STATE_UNAVAILABLE, f"{path} is malformed; run: rm {path}") from None
    return found


def keep(uid: int, login: str, kind: str = NONE, code: str = "") -> None:
    """Records that this login may have a code sent, or the code that is sent for it, in place of an
    earlier one. Raises OSError or Failure."""
    others = read(uid)
    others.pop(login, None)
    until = int(boot_seconds()) + KEPT_SECONDS
    hashed = hash_code(login, code) if code else NONE
    _write(uid, [*others.values(), Sent(login=login, until=until, kind=kind, code=hashed)])


def use_up(uid: int, login: str) -> None:
    """Forgets this login; on a full disk all of the user's. Raises OSError or Failure."""
    others = read(uid)
    others.pop(login, None)
    try:
        _write(uid, [*others.values()])
    except OSError:
        RUN.remove(KIND, uid)


def forget(request: Request, user: pwd.struct_passwd) -> None:
    """Forgets what an earlier login in the same process has proved, and the code that was sent for
    it: this one has proved nothing. Raises OSError or Failure."""
    if RUN.has(KIND, user.pw_uid):
        attempts = Attempts(user.pw_uid)
        try:
            use_up(user.pw_uid, login_of(request, user))
        finally:
            attempts.close()


def hash_code(login: str, code: str) -> str:
    """The hash under which the code of a login is kept. Only root can read it, and eight digits
    could be tried; but it is good for minutes, at a login that root could let in anyway."""
    return _hash(login, code)


def _write(uid: int, all_sent: list[Sent]) -> None:
    with_code = [each for each in all_sent if each.code != NONE][-MAX_LOGINS:]
    latest = with_code + [each for each in all_sent if each.code == NONE][-MAX_LOGINS:]
    lines = [f"{each.login} {each.until} {each.kind} {each.code}\n" for each in latest]
    RUN.write(KIND, uid, "".join(lines).encode("ascii"))


def _hash(*parts: str) -> str:
    new_hash, _ = ALGORITHMS["SHA256"]
    return str(new_hash("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest())
