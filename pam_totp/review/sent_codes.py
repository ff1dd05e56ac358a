# SPDX-License-Identifier: MIT
"""Codes that are sent: the kinds that rules accept, and what a user has without them."""

import functools
import os
import pwd
from collections.abc import Collection, Sequence
from typing import Any

from pam_totp.access import by_contact, in_fleet
from pam_totp.access.decision import ASK, LET_THROUGH, UNENROLLED, Decision
from pam_totp.access.facts import Facts
from pam_totp.errors import command
from pam_totp.records.config.settings import FLEET, Settings
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, stores_of
from pam_totp.records.user import contacts, enforced
from pam_totp.records.user.contacts import Contact
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.review.open_to import policy_of
from pam_totp.rules.enrollment import OPTIONAL
from pam_totp.rules.policy import BETWEEN_FIELDS, REQUIRED, SENT, TOTP, Rule, decode, rules_about
from pam_totp.rules.reasons import Failure


def accepted_by(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The kinds of codes that are sent and that any of the rules accepts."""
    return tuple(kind for kind in SENT if any(kind in rule.methods for rule in rules))


@functools.lru_cache(1)
def accepted_in(rules: bytes) -> tuple[str, ...]:
    """The same of encoded rules, which are decoded once for all users."""
    lines = [line.partition(BETWEEN_FIELDS)[2] for line in rules.decode().split("\n") if line]
    return accepted_by([decode(line) for line in lines])


def accepted_for(name: str, active: Settings) -> tuple[str, ...]:
    """The same of the rules that may be about a user."""
    return accepted_by([decode(rule) for rule in rules_about(active.rules, name)])


def _can_be_sent(account: pwd.struct_passwd, rule: Rule, state: str, store: str) -> bool:
    """Whether a code may be sent to this account under a rule. Then it need not enroll where the
    rule requires a code."""
    if rule.methods == (TOTP,) or os.geteuid() != 0:
        return False
    try:
        return bool(by_contact.look(account, rule, state, store)[1])
    except Failure:
        return False


def is_refused(
    account: pwd.struct_passwd,
    rule: Rule,
    decision: Decision,
    state: str = UNENROLLED,
    store: str = "",
) -> bool:
    """Whether a decision about a user without a secret leaves nothing to enter, as far as the
    caller can see: no code is sent, and no QR code is shown. state: of that secret; store: which
    one is active."""
    if decision.action == LET_THROUGH or _can_be_sent(account, rule, state, store):
        return False
    if decision.action == ASK:
        return True
    try:  # as pam_totp.login.show_enrollment
        return os.geteuid() == 0 and contacts.has_confirmed(account)
    except Failure:
        return True


def codes_sent(facts: Facts, *, has_app: bool) -> list[dict[str, Any]]:
    """What is sent for a login that is asked for a code, as `explain --json` has it. has_app:
    whether the user has a secret that can be read, which also makes a code."""
    factors = (*facts.sent_by, *([TOTP] if has_app else []))
    first = next((each for each in facts.rule.methods if each in factors), "")
    known = contacts.read(facts.user) if facts.sent_by else {}
    return [
        {
            "kind": kind,
            "address": known[kind].address,
            "confirmed": known[kind].confirmed or None,
            "at_once": kind == first,
        }
        for kind in facts.sent_by
    ]


def of_row(account: pwd.struct_passwd, active: Settings, row: dict[str, Any]) -> dict[str, Any]:
    """What the contacts add to a row of `pam-totp users`: a user is enrolled to whom codes can be
    sent, and from whom one has come back. Raises Failure."""
    known = contacts.read(account)
    kinds = list(count_as_factors(known, accepted_in(active.rules)))
    found: dict[str, Any] = {
        "unconfirmed_contacts": [kind for kind, each in known.items() if not each.confirmed]
    }
    if row["factors"] is not None:
        found["factors"] = [*kinds, *row["factors"]]
    if kinds and not row["enrolled"]:  # whatever hides whether there is a secret
        found |= {"enrolled": True, "unconfirmed": False}
    return found


def count_as_factors(known: dict[str, Contact], accepted: Collection[str]) -> tuple[str, ...]:
    """The kinds of contacts that make a user enrolled, the weakest first."""
    usable = [kind for kind in SENT if kind in known and kind in accepted]
    return tuple(kind for kind in reversed(usable) if known[kind].confirmed)


def unless_accepted(kind: str, active: Settings) -> str:
    """That no code goes to a contact of this kind; empty if any may."""
    if kind in accepted_in(active.rules):
        return ""
    return (
        f"No rule accepts codes by {kind}, so none is sent there: see methods in pam-totp.yaml(5)."
    )


def after_removal(
    account: pwd.struct_passwd,
    left: dict[str, Contact],
    active: Settings,
    before: dict[str, Contact],
) -> list[str]:
    """What follows for a user who has only these contacts left of those before: nothing where
    another factor is, or where a home hides whether there is one."""
    rules = policy_of(active).rules
    accepted = accepted_by(rules)
    if count_as_factors(left, accepted) or _has_secret(account, active) is not False:
        return []
    had_factor = bool(count_as_factors(before, accepted))
    what = f"{account.pw_name} has no second factor{' left' if had_factor else ''}"
    if enforced.is_set(account.pw_uid):
        there = " on a database server" if active.store == FLEET else ""
        return [
            f"{what}, and has logged in with a code before: logins that may need a code are "
            f"refused. To make the user not enrolled, run{there}:",
            command("reset", account.pw_name, options=["--fleet"] if there else []),
        ]
    if active.enrollment.mode == OPTIONAL and all(rule.code != REQUIRED for rule in rules):
        return [f"{what}, and logs in without a code."] if had_factor else []
    return [f"{what}: where a code is required, logins are refused until the user enrolls."]


def _has_secret(account: pwd.struct_passwd, active: Settings) -> bool | None:
    """None where that is not known."""

    def look(user: pwd.struct_passwd) -> bool | None:
        try:
            if active.store == FLEET:
                return in_fleet.look(user, is_enforced=False)[0] != UNENROLLED
            secrets = [SecretDir(user, store).read(SECRET) for store in stores_of(user)]
            return any(secret is not None for secret in secrets)
        except Failure:
            return None

    ((_, answer),) = each_in_time([account], look)
    return None if answer is NO_ANSWER else answer
