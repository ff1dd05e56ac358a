# SPDX-License-Identifier: MIT
"""Who is to be enrolled: the users that a file or a group names."""

import grp
import pwd
from collections.abc import Iterable, Iterator

from pam_totp.enrollment import given_file
from pam_totp.enrollment.identity import no_user
from pam_totp.errors import Error
from pam_totp.records.host.account import find
from pam_totp.rules.reasons import Failure
from pam_totp.spelling import did_you_mean

MAX_TOLD = 10  # unknown names in one message
Accounts = list[pwd.struct_passwd]


def of_file(path: str) -> Accounts:
    """The users named there, once each. Raises Error, also if one is unknown: with its line."""
    shown = given_file.shown(path)
    everybody = listed()
    found: Accounts = []
    unknown: list[tuple[int, str]] = []
    for number, name in _names_in(given_file.read(path, may_be_a_pipe=True)):
        account = everybody.get(name) or account_called(name)
        if account is None:
            unknown.append((number, name))
        else:
            found.append(account)
    if unknown:
        told = ", ".join(f"line {number}: {name!a}" for number, name in unknown[:MAX_TOLD])
        more = f" and {len(unknown) - MAX_TOLD:,} more" if len(unknown) > MAX_TOLD else ""
        message = f"{shown} names unknown users ({told}{more}); nothing was changed"
        raise Error(message, no_user(unknown[0][1]).hint)
    if not found:
        raise Error(f"{shown} names no user", "write one name on each line")
    return _once(found)


def of_group(name: str) -> tuple[Accounts, list[str]]:
    """The members of a group, and names in it that no user has. Raises Error."""
    try:
        group = grp.getgrnam(name)
    except (KeyError, ValueError):
        near = did_you_mean(name, (each.gr_name for each in grp.getgrall()))
        raise Error(f"there is no group {name!a}{near}", "getent group") from None
    everybody = listed()
    known = {member: everybody.get(member) or account_called(member) for member in group.gr_mem}
    primary = [each for each in everybody.values() if each.pw_gid == group.gr_gid]
    found = [*filter(None, known.values()), *primary]
    if not known and not primary:
        raise Error(f"the group {name!a} has no members", f"getent group {name}")
    return _once(found), [member for member, account in known.items() if account is None]


def listed() -> dict[str, pwd.struct_passwd]:
    """Everybody whom the database lists, by name: to look up each of 5,000 names would read all of
    it 10,000 times. An id is the account of the first name that it has."""
    accounts = pwd.getpwall()
    first = {account.pw_uid: account for account in reversed(accounts)}
    return {account.pw_name: first[account.pw_uid] for account in reversed(accounts)}


def account_called(name: str) -> pwd.struct_passwd | None:
    """Also one that a directory knows and does not list."""
    try:
        return find(name)
    except Failure:
        return None


def _once(accounts: Iterable[pwd.struct_passwd]) -> Accounts:
    return list({account.pw_uid: account for account in accounts}.values())


def _names_in(content: bytes) -> Iterator[tuple[int, str]]:
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if name and not name.startswith("#"):
            yield number, name.partition(" #")[0].rstrip()
