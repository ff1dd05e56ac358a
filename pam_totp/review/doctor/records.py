# SPDX-License-Identifier: MIT
"""Grants that are long or over, records of users that are gone, and temporary files."""

import pwd
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from pam_totp.records.config.settings import PATH
from pam_totp.records.storage.secret_dir import SYSTEM_STORE
from pam_totp.records.storage.state_dir import TEMPORARY, VAR
from pam_totp.records.user import contacts, counters, enforced, grant, recovery
from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.everybody import names, names_without_user
from pam_totp.rules.reasons import Failure

LONG_SECONDS = 86400


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    known = {str(account.pw_uid): account.pw_name for account in host.accounts}
    temporary: list[str] = []
    for kind in (enforced.KIND, recovery.KIND, counters.KIND, grant.KIND, contacts.KIND):
        gone: list[str] = []
        for name in sorted(names(kind)):
            path = f"{VAR.path}/{kind}/{name}"
            user = known.get(name) or _name_of(name)
            if TEMPORARY in name:
                temporary.append(path)
            elif not user and kind != contacts.KIND:  # which count by the name, too
                gone.append(path)
            elif kind == grant.KIND:
                yield from _of_grant(name, user, path, host.now)
        yield from _without_user(gone)
    settings = Path(PATH).parent  # among them the password of a login host in a fleet
    temporary += sorted(str(path) for path in settings.glob(f"*{TEMPORARY}*"))
    yield from _of_temporary(temporary)
    if names(SYSTEM_STORE) - set(known.values()):
        for name in names_without_user():
            yield Finding(
                severity=AT_RISK,
                kind="secret-without-user",
                what=f"there is a secret of {name}, but no such user",
                consequence="If the user was renamed, logins under the new name are refused. If "
                f"the user is gone, remove {VAR.path}/{SYSTEM_STORE}/{name}.",
                command=f"pam-totp migrate NEW --renamed-from {shlex.quote(name)}",
            )


def _of_grant(uid: str, user: str, path: str, now: float) -> Iterator[Finding]:
    end = f"pam-totp grant {shlex.quote(user)} --end"
    try:
        content = VAR.read(grant.KIND, uid) or b""
        until = until_of(content)
    except Failure:
        return  # owner and mode: another check shows them
    if until is None:
        what = f"the grant of {user} cannot be read: {path} is malformed"
        consequence = "It is not used, and each login of the user logs this."
        yield Finding(REFUSED, "grant-malformed", what, consequence, end)
    elif until <= now:
        what = f"the grant of {user} ended {when(until)}, and its record is still there"
        consequence = "It has no effect, unless the clock is set back."
        yield Finding(AT_RISK, "grant-left-over", what, consequence, end)
    elif until - now > LONG_SECONDS:
        what = f"{user} has a grant until {when(until)}"
        consequence = "The first factor is enough for this user until then."
        yield Finding(OPEN, "grant-long", what, consequence, end)


def until_of(content: bytes) -> int | None:
    """When a grant ends (pam_totp.records.user.grant); None if it is none."""
    fields = content.removesuffix(b"\n").split(b" ", 6)
    if len(fields) != 7 or fields[:3] != [b"pam-totp", b"grant", b"1"]:
        return None
    if not (fields[3].isdigit() and fields[4].isdigit() and fields[5] in (b"ONCE", b"MANY")):
        return None
    return int(fields[4])


def when(seconds: int) -> str:
    """A date and time, in UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, ValueError):
        return "for ever"


def _without_user(paths: list[str]) -> Iterator[Finding]:
    if not paths:
        return
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    yield Finding(
        severity=AT_RISK,
        kind="record-without-user",
        what=f"{paths[0]}{more} belongs to a user id that no user has",
        consequence="A new user who gets that id is taken for the one who is gone, and may be "
        "refused.",
        command=f"rm {shlex.join(paths[:20])}",
    )


def _of_temporary(paths: list[str]) -> Iterator[Finding]:
    if paths:
        yield Finding(
            severity=AT_RISK,
            kind="temporary-file",
            what=f"{paths[0]} is a temporary file of a command that was interrupted",
            consequence="It has no effect, but what the command was to change may be unchanged.",
            command=f"rm {shlex.join(paths[:20])}",
        )


def _name_of(uid: str) -> str:
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, ValueError, OverflowError):
        return ""
