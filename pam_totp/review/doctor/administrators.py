# SPDX-License-Identifier: MIT
"""Administrators who must enter a code and have not enrolled: who is to help the others?"""

import grp
import json
import os
import pwd
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

from pam_totp.access.decision import UNENROLLED
from pam_totp.access.facts import state_of
from pam_totp.records.user import enforced
from pam_totp.review.doctor.findings import REFUSED, Finding, undetermined
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.required import refused_at
from pam_totp.review.in_time import each_in_time
from pam_totp.review.lockout import ADMINISTRATORS
from pam_totp.rules.reasons import Failure

SUDOERS, CVTSUDOERS = "/etc/sudoers", "/usr/bin/cvtsudoers"
MAX_SECONDS = 10


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    users, groups, failure = sudoers()
    if failure:
        yield undetermined(f"who may use sudo: {failure}", "visudo -c")

    def is_out(account: pwd.struct_passwd) -> bool:
        try:
            is_enforced = enforced.is_set(account.pw_uid)
            return state_of(account, host.active, is_enforced=is_enforced) == UNENROLLED
        except Failure:
            return False  # a fault of this user, which another check shows

    of_all = administrators(host, users, {*ADMINISTRATORS, *groups})
    for account in [each for each, answer in each_in_time(of_all, is_out) if answer is True]:
        shut = refused_at(account, host, at_deadline=True)
        if shut:
            yield Finding(
                severity=REFUSED,
                kind="administrator-not-enrolled",
                what=f"the administrator {account.pw_name} must enter a code at "
                f"{', '.join(shut)} and has not enrolled",
                consequence="These logins are refused, and other users may be left without help."
                + host.invitation_words,
                command=f"pam-totp enroll --user {shlex.quote(account.pw_name)}",
            )


def administrators(
    host: Host, users: Iterable[str], groups: Iterable[str]
) -> list[pwd.struct_passwd]:
    """Accounts of user id 0, named users, and the members of groups. A directory's group counts if
    it can be looked up."""
    names, ids = set(users), {0}
    members = set[int]()
    for name in groups:
        try:
            group = grp.getgrnam(name)
        except KeyError:
            continue
        names |= {*group.gr_mem}
        members.add(group.gr_gid)
    return [
        account
        for account in host.accounts
        if account.pw_uid in ids or account.pw_name in names or account.pw_gid in members
    ]


def sudoers() -> tuple[set[str], set[str], str]:
    """Users and groups who may run every command with sudo, and why they cannot be determined."""
    if not (os.path.exists(CVTSUDOERS) and os.path.exists(SUDOERS)):
        return set(), set(), ""
    try:
        done = subprocess.run(
            [CVTSUDOERS, "-e", "-f", "json", SUDOERS],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        return set(), set(), str(failure)
    if done.returncode != 0:
        return set(), set(), " ".join(done.stderr.split()) or f"exit status {done.returncode}"
    try:
        return *who_may_all(json.loads(done.stdout)), ""
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        return set(), set(), f"{CVTSUDOERS}: {failure}"


def who_may_all(converted: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Users and groups with the command ALL, of what cvtsudoers prints as JSON."""
    users, groups = set[str](), set[str]()
    for spec in converted.get("User_Specs", []):
        commands = [each for part in spec["Cmnd_Specs"] for each in part["Commands"]]
        if {"command": "ALL"} not in commands:
            continue
        for who in spec["User_List"]:
            if not who.get("negated"):
                users |= {who["username"]} if "username" in who else set()
                groups |= {who["usergroup"]} if "usergroup" in who else set()
    return users - {"ALL"}, groups
