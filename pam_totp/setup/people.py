# SPDX-License-Identifier: MIT
"""Everybody who would be refused once a service asks, by the policy that decides at a login."""

import dataclasses
import pwd
import time
from collections.abc import Iterator, Sequence

from pam_totp.access.decision import ELSEWHERE, ENROLLED, MISSING, UNENROLLED, UNKNOWN, decide
from pam_totp.access.facts import Facts, rule_for, state_of
from pam_totp.records.config.settings import Settings, load
from pam_totp.records.user import enforced, grant
from pam_totp.review.everybody import accounts
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.review.looking import NO_ANSWER_WORDS
from pam_totp.review.sent_codes import is_refused
from pam_totp.review.user_row import fault_of_home, is_person, may_log_in
from pam_totp.rules.policy import NEVER
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.stack.sshd_match import ELSEWHERE as ANY_ADDRESS

WITH_ADDRESSES = ("sshd", "remote", "cockpit")
_WHY = {
    UNENROLLED: "has not enrolled",
    MISSING: "has no secret any more",
    ELSEWHERE: "has a secret in the other store only",
}


@dataclasses.dataclass(frozen=True)
class Refused:
    """A user, the services that would refuse, and why."""

    user: str
    services: tuple[str, ...]
    why: str


def refused(services: Sequence[str], exempt: Sequence[str] = ()) -> list[Refused]:
    """Those who would be; exempt: accounts that sshd never asks PAM about."""
    active, now = load(), time.time()

    def asked(account: pwd.struct_passwd) -> list[str]:
        return [each for each in services if each != "sshd" or account.pw_name not in exempt]

    def look(account: pwd.struct_passwd) -> list[tuple[object, ...]]:
        found = _of_account(account, asked(account), active, now)
        return [dataclasses.astuple(each) for each in found]

    refused_ones = list[Refused]()
    for account, answer in each_in_time(who_logs_in(), look):
        if answer is NO_ANSWER:
            silent = f"the home gives {NO_ANSWER_WORDS}"
            answer = [(account.pw_name, asked(account), silent)]
        refused_ones += [Refused(user, tuple(shut), why) for user, shut, why in answer]
    return refused_ones


def who_logs_in() -> list[pwd.struct_passwd]:
    """Everybody who may log in, root too."""
    found = accounts(set())
    return [each for each in found if may_log_in(each) and (is_person(each) or each.pw_uid == 0)]


def has_enrolled(name: str) -> bool:
    """Whether the user has a secret, as far as can be determined."""
    try:
        account = pwd.getpwnam(name)
        return state_of(account, load(), is_enforced=False) == ENROLLED
    except (KeyError, Failure):
        return False


def _request(account: pwd.struct_passwd, service: str, address: str, key: bool) -> Request:
    return Request(
        user=account.pw_name,
        service=service,
        rhost=address,
        key="publickey any" if key and service == "sshd" else "",
    )


def _of_account(
    account: pwd.struct_passwd, services: Sequence[str], active: Settings, now: float
) -> Iterator[Refused]:
    rules = {}
    for service in services:
        address = ANY_ADDRESS[0] if service in WITH_ADDRESSES else ""
        rule = rule_for(_request(account, service, address, key=False), account, active)
        if rule.code != NEVER:
            rules[service] = rule
    if not rules:
        return
    state, why = UNKNOWN, ""
    try:
        state = state_of(account, active, is_enforced=enforced.is_set(account.pw_uid))
    except Failure as failure:
        why = fault_of_home(account) or failure.detail
    if state == ENROLLED:
        return
    shut = []
    for service, rule in rules.items():
        facts = Facts(user=account, rule=rule, state=state)
        decision = decide(facts, active.enrollment, service, now)
        if is_refused(account, rule, decision, state, active.store):
            shut.append(service)
    if shut and not _has_grant(account, now):
        yield Refused(account.pw_name, tuple(shut), why or _WHY.get(state, state))


def _has_grant(account: pwd.struct_passwd, now: float) -> bool:
    try:
        return grant.read(account.pw_uid, now) is not None
    except Failure:
        return False
