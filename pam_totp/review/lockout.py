# SPDX-License-Identifier: MIT
"""The users whom a policy locks out or never asks, by the code that decides at a login."""

import grp
import os
import pwd
import shlex
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pam_totp.access.decision import UNENROLLED, decide
from pam_totp.access.facts import Facts, rule_for, state_of
from pam_totp.records.config.settings import Settings, typed
from pam_totp.records.user import enforced
from pam_totp.review.sent_codes import is_refused
from pam_totp.review.shadowed_rules import covers, networks
from pam_totp.rules.encoding import encode
from pam_totp.rules.enrollment import BY
from pam_totp.rules.pattern import matches
from pam_totp.rules.policy import LOCAL, NEVER, Rule
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request

if TYPE_CHECKING:
    from pam_totp.review.settings_faults import Checked

ADMINISTRATORS = ("sudo", "wheel", "admin")  # the groups of Debian, of others, of old Ubuntus
# Through which services these users log in; sudo asks root for nothing.
WAYS_OF_ROOT = ("sshd", "login", "su")
WAYS_OF_ADMINISTRATORS = ("sshd", "login", "sudo")
# Addresses for documentation (RFC 5737, RFC 3849): of no rule, or of one that is for all.
ELSEWHERE = ("203.0.113.77", "2001:db8:ffff::77")
MAX_SOURCES = 200

Warned = tuple[str, str]  # the position, and a sentence


def locked_out(
    found: "Checked", asking: list[str], existing: list[str], now: float
) -> Iterator[Warned]:
    """root and the only administrator, if they must enter a code, have not enrolled, and cannot
    enroll. `asking`: the services that ask; `existing`: all."""
    active = typed(found.values, encode(found.rules))
    people = [(account, WAYS_OF_ROOT) for account in (_account("root"),) if account]
    others = members_of(ADMINISTRATORS).keys() - {"root"}
    only = _account(*others) if len(others) == 1 else None
    if only:
        people.append((only, WAYS_OF_ADMINISTRATORS))
    for account, ways in people:
        try:
            is_enforced = enforced.is_set(account.pw_uid) if os.geteuid() == 0 else False
            if state_of(account, active, is_enforced=is_enforced) != UNENROLLED:
                continue
        except Failure:
            continue  # it cannot be determined
        shut: dict[tuple[str, str], list[str]] = {}
        for service in ways:
            if service in (asking or existing):
                why = _refusal(account, service, active, found, now)
                if why is not None:
                    shut.setdefault(why, []).append(service)
        for (position, when), services in shut.items():
            command = f"pam-totp enroll --user {shlex.quote(account.pw_name)}"
            who = f"{account.pw_name}{', the only administrator,' if account.pw_uid else ''}"
            where = ", ".join(services) + ("" if asking else ", once pam_totp.so is added")
            yield (
                position,
                f"{when}{who} would be locked out of {where}: a code is required, "
                f"{account.pw_name} is not enrolled and cannot enroll there; run: {command}",
            )


def _refusal(
    account: pwd.struct_passwd,
    service: str,
    active: Settings,
    found: "Checked",
    now: float,
) -> tuple[str, str] | None:
    """The position of what refuses, and from when on; None if a login is possible."""
    enrollment = active.enrollment
    when = ""
    if enrollment.mode == BY and now < enrollment.deadline:
        now = float(enrollment.deadline)
        when = time.strftime("from %Y-%m-%d on, ", time.gmtime(now))
    position = None
    for rhost, key in _ways_in(service, found.rules):
        request = Request(user=account.pw_name, service=service, rhost=rhost, key=key)
        rule = rule_for(request, account, active)
        facts = Facts(user=account, rule=rule, state=UNENROLLED)
        decision = decide(facts, enrollment, service, now)
        if not is_refused(account, rule, decision):
            return None
        position = position or (
            f"line {rule.line}" if rule.line else found.positions.get("enrollment", "line 1")
        )
    return (position, when) if position else None


def _ways_in(service: str, rules: list[Rule]) -> Iterator[tuple[str, str]]:
    """A remote host and a public key of every kind of login that the rules tell apart."""
    if service != "sshd":
        yield "", ""
        return
    sources = {source for rule in rules for source in rule.sources if source != LOCAL}
    if len(sources) > MAX_SOURCES:
        return
    ends = [(network[0], network[-1]) for network in networks(tuple(sorted(sources)))]
    for rhost in [*ELSEWHERE, *(str(address) for pair in ends for address in pair)]:
        yield rhost, ""
        yield rhost, "publickey any"
        yield rhost, "publickey sk-any"


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def members_of(groups: Iterable[str]) -> dict[str, str]:
    """The users who are in one of the groups, each with the first one."""
    found: dict[str, str] = {}
    for group_name in groups:
        try:
            group = grp.getgrnam(group_name)
        except KeyError:
            continue
        primary = [each.pw_name for each in pwd.getpwall() if each.pw_gid == group.gr_gid]
        for name in (*group.gr_mem, *primary):
            found.setdefault(name, group_name)
    return {name: group for name, group in found.items() if _account(name)}


def never_asked(rules: list[Rule], asking: list[str]) -> Iterator[Warned]:
    """Where the rules never ask any user for a code."""
    everywhere = _exempting(rules, Rule(code=""))
    if everywhere is not None:
        yield (
            f"line {everywhere.line}",
            "no user is ever asked for a code, because no earlier rule asks",
        )
        return
    shut = {service: _exempting(rules, Rule(code="", services=(service,))) for service in asking}
    for service, rule in shut.items():
        if rule is not None:
            what = (
                f"no user is ever asked for a code at {service}, although it has a pam_totp.so line"
            )
            yield f"line {rule.line}", what


def _exempting(rules: list[Rule], everybody: Rule) -> Rule | None:
    """The rule that exempts all of these logins, if none before it may ask one of them."""
    for rule in rules:
        if not _may_be_for(rule, everybody.services):
            continue
        if rule.code != NEVER:
            return None
        if covers(rule, everybody):
            return rule
    return None


def _may_be_for(rule: Rule, services: tuple[str, ...]) -> bool:
    return (
        not rule.services
        or not services
        or any(matches(pattern, service) for pattern in rule.services for service in services)
    )
