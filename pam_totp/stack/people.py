# SPDX-License-Identifier: MIT
"""The users of this host with the names of their groups, as sshd's Match blocks ask for them."""

import grp
import os
import pwd
import re
from collections.abc import Iterable, Iterator

from pam_totp.stack.sshd_match import TO_FILL_A_PATTERN, Criteria, Login, meets

FIRST_PERSON = 1000  # Debian Policy, section 9.2.2


def people(criteria: Criteria) -> list[Login]:
    """One login for each user that the database lists, and for each that the criteria name; people
    before accounts of programs; last a login that is made up for each criterion of users or groups
    that fits none of them, whom a directory may have. Without groups where no criterion asks for
    any."""
    found = _listed(criteria)
    return [*found, *_made_up(criteria, found)]


def _made_up(criteria: Criteria, found: list[Login]) -> Iterator[Login]:
    for name, argument in dict.fromkeys(criteria):
        if name not in ("user", "group") or any(meets(each, (name, argument)) for each in found):
            continue
        patterns = [each for each in argument.split(",") if not each.startswith("!")]
        filled = [re.sub(r"[*?]", TO_FILL_A_PATTERN, each) for each in patterns]
        logins = [Login(each) if name == "user" else _member(each) for each in filled]
        yield from [each for each in logins if meets(each, (name, argument))][:1]


def _member(group: str) -> Login:
    """Somebody of a group that no user of this host is in."""
    return Login(f"member-of-{group}", frozenset([group]), is_unlisted=True)


def _listed(criteria: Criteria) -> list[Login]:
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    for name in _plain_names(criteria, "user"):
        try:
            accounts.setdefault(name, pwd.getpwnam(name))
        except (KeyError, ValueError):
            continue
    in_order = sorted(accounts.values(), key=lambda each: (_is_odd(each), each.pw_name))
    if not any(name == "group" for name, _ in criteria):
        return [Login(each.pw_name, is_root=each.pw_uid == 0) for each in in_order]
    members = _members(_plain_names(criteria, "group"))
    names = {group.gr_gid: group.gr_name for group in grp.getgrall()}
    return [
        Login(
            account.pw_name,
            frozenset(members.get(account.pw_name, set()) | _primary(account, names)),
            is_root=account.pw_uid == 0,
        )
        for account in in_order
    ]


def one_person(account: pwd.struct_passwd) -> Login:
    """A login of one user, with all groups."""
    groups = set[str]()
    for number in os.getgrouplist(account.pw_name, account.pw_gid):
        try:
            groups.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return Login(account.pw_name, frozenset(groups), is_root=account.pw_uid == 0)


def _is_odd(account: pwd.struct_passwd) -> tuple[bool, bool]:
    """Not a person, so that one stands for a class; or with a name that sshd cannot be asked of."""
    has_no_login = account.pw_shell.endswith(("/nologin", "/false"))
    return "," in account.pw_name, has_no_login or account.pw_uid < FIRST_PERSON


def _plain_names(criteria: Criteria, kind: str) -> list[str]:
    lists = [argument.split(",") for name, argument in criteria if name == kind]
    found = {each.removeprefix("!") for patterns in lists for each in patterns}
    return sorted(each for each in found if not set(each) & set("*?"))


def _members(named: Iterable[str]) -> dict[str, set[str]]:
    """The groups of each user, but the primary one; a directory may list a group only by name."""
    groups = grp.getgrall()
    for name in named:
        try:
            groups.append(grp.getgrnam(name))
        except (KeyError, ValueError):
            continue
    found: dict[str, set[str]] = {}
    for group in groups:
        for member in group.gr_mem:
            found.setdefault(member, set()).add(group.gr_name)
    return found


def _primary(account: pwd.struct_passwd, names: dict[int, str]) -> set[str]:
    if account.pw_gid not in names:
        try:
            names[account.pw_gid] = grp.getgrgid(account.pw_gid).gr_name
        except KeyError:
            return set()
    return {names[account.pw_gid]}
