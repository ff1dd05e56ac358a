# SPDX-License-Identifier: MIT
"""Whom the rules ask for a code at a service, and whom they exempt, as classes of people. Pure.

What is not certain counts as asked for a code: a rule exempts a whole class only where no earlier
rule may ask somebody of it.
"""

import dataclasses
import time

from pam_totp.records.config.settings import Settings
from pam_totp.review.shadowed_rules import covers, networks
from pam_totp.rules.enrollment import BY, OPTIONAL
from pam_totp.rules.pattern import is_pattern, matches
from pam_totp.rules.policy import (
    BETWEEN_FIELDS,
    IF_ENROLLED,
    LOCAL,
    NEVER,
    REQUIRED,
    SK,
    Rule,
    decode,
)


@dataclasses.dataclass(frozen=True)
class People:
    """A class of logins at a service. users, groups: names and patterns, sources: networks; of
    each, empty means any. is_remote: each has an address, as at sshd; is_local: none has one.
    publickey: "yes", "no", SK, or "" where it is not known. besides: what else they have in common,
    of which rules know nothing, in words."""

    service: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    is_remote: bool = False
    is_local: bool = False
    publickey: str = "no"
    besides: str = ""

    @property
    def as_rule(self) -> Rule:
        """What matches every one of them."""
        return Rule(
            code="",
            users=self.users,
            groups=self.groups,
            services=(self.service,),
            sources=(LOCAL,) if self.is_local else self.sources,
            publickey=self.publickey,
        )


@dataclasses.dataclass(frozen=True)
class Exempt:
    """Of a class, whom a rule asks for no code. who: in words, empty for the whole class."""

    who: str
    reason: str
    line: int
    only_unenrolled: bool = False


@dataclasses.dataclass(frozen=True)
class Policy:
    """The rules in their order, and the code where none matches."""

    rules: tuple[Rule, ...] = ()
    otherwise: str = REQUIRED

    def divide(self, people: People) -> tuple[list[Exempt], list[str]]:
        """Whom of these people a rule asks for no code, and whom the policy asks for one: in words,
        empty for the whole class."""
        exempt, asked = list[Exempt](), list[str]()
        for rule in self.rules:
            if not may_meet(rule, people):
                continue
            is_all = covers(rule, people.as_rule)
            who = "" if is_all else who_of(_narrowed(people, rule))
            unenrolled = rule.code == IF_ENROLLED
            if rule.code == NEVER or (unenrolled and self.otherwise != IF_ENROLLED):
                exempt.append(Exempt(who, f"rule of line {rule.line}", rule.line, unenrolled))
            if rule.code != NEVER:
                asked.append(who)
            if is_all:
                return exempt, [""] if "" in asked else list(dict.fromkeys(asked))
        return exempt, [""]


def policy_of(active: Settings) -> Policy:
    """The policy of the settings. Raises ValueError."""
    rules: dict[str, Rule] = {}
    for line in filter(None, active.rules.decode().split("\n")):
        text = line.partition(BETWEEN_FIELDS)[2]
        number, rule = text.partition(BETWEEN_FIELDS)[0], decode(text)
        earlier = rules.get(number)  # a rule for plain names is listed under each of them
        rules[number] = with_users(rule, (*earlier.users, *rule.users)) if earlier else rule
    otherwise = IF_ENROLLED if active.enrollment.mode == OPTIONAL else REQUIRED
    return Policy(tuple(rules[number] for number in sorted(rules)), otherwise)


def note_of_enrollment(active: Settings, now: float) -> str:
    """Whom the setting `enrollment` lets pass everywhere, as a sentence; empty for nobody."""
    enrollment, when = active.enrollment, ""
    if enrollment.mode == BY and now < enrollment.deadline:
        when = time.strftime(" until %Y-%m-%d", time.gmtime(enrollment.deadline))
    elif enrollment.mode != OPTIONAL:
        return ""
    unless = "" if when else ", unless a rule requires one"
    setting = f"(enrollment: {enrollment.mode})"
    return f"Users who have not enrolled need no code{when} {setting}{unless}."


def may_meet(rule: Rule, people: People) -> bool:
    """Whether a rule may match one of these people."""
    kinds = [each for each in (rule.publickey, people.publickey) if each]
    if "no" in kinds and {*kinds} != {"no"}:
        return False
    if rule.services and not any(matches(each, people.service) for each in rule.services):
        return False
    return _may_share(rule.users, people.users) and _may_be_from(rule.sources, people)


def _may_share(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether one name may match both lists; of two patterns that is not known."""
    pairs = ((one, other) for one in some for other in others)
    return not (some and others) or any(
        matches(one, other) or matches(other, one) or (is_pattern(one) and is_pattern(other))
        for one, other in pairs
    )


def _may_be_from(sources: tuple[str, ...], people: People) -> bool:
    if not sources or (LOCAL in sources and not people.is_remote):
        return True
    if people.is_local:
        return False
    of_rule, of_people = networks(sources), networks(people.sources)
    if not people.sources:
        return bool(of_rule)
    pairs = ((one, other) for one in of_rule for other in of_people)
    return any(one.version == other.version and one.overlaps(other) for one, other in pairs)


def _narrowed(people: People, rule: Rule) -> People:
    """Those of the people whom the rule is for, as far as words can tell."""
    return dataclasses.replace(
        people,
        users=rule.users or people.users,
        groups=rule.groups or people.groups,
        sources=() if people.is_local else rule.sources or people.sources,
        publickey=SK if rule.publickey == SK else people.publickey,
    )


def who_of(people: People) -> str:
    """A class in words; empty for everybody."""
    users, groups = ", ".join(people.users), ", ".join(people.groups)
    members = f"members of {groups}" if groups else ""
    who = f"{users} in {groups}" if users and groups else users or members
    place = ""
    if people.sources:
        local = [LOCAL] if LOCAL in people.sources else []
        found = networks(people.sources)
        shown = [str(each[0] if each.num_addresses == 1 else each) for each in found]
        place = f"from {', '.join(local + shown)}"
    key = "with a security key" if people.publickey == SK else ""
    more = " ".join(each for each in (place, key, people.besides) if each)
    return f"{who or 'everybody'} {more}" if more else who


def with_users(rule: Rule, users: tuple[str, ...]) -> Rule:
    """The rule, for these users."""
    return Rule(**vars(rule) | {"users": users})
