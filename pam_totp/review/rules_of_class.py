# SPDX-License-Identifier: MIT
"""Which rules of the policy can be about a class of logins at sshd, and about whom of it. Pure.

Otherwise a rule for a user to whom a Match block applies would be said of everybody else's ways in,
too. What is not certain counts as possible.
"""

import functools
from collections.abc import Iterator, Sequence

from pam_totp.review.open_to import Policy, with_users
from pam_totp.review.shadowed_rules import networks
from pam_totp.rules.pattern import is_pattern
from pam_totp.rules.policy import Rule
from pam_totp.stack.sshd_classes import Class, classes_of
from pam_totp.stack.sshd_config import Block
from pam_totp.stack.sshd_match import Login

Key = tuple[bool, tuple[Block, ...]]


class RulesOfClasses:
    """A policy, for the classes that these blocks tell apart. people: as classes_of has them."""

    def __init__(self, policy: Policy, blocks: Sequence[Block], people: Sequence[Login]) -> None:
        self._policy, self._blocks, self._people = policy, tuple(blocks), people
        self._by_name = {each.user: each for each in people}
        criteria = [one for block in blocks for one in block.criteria]
        groups = {each for name, text in criteria if name == "group" for each in text.split(",")}
        self._groups = {each for each in groups if not is_pattern(each)}
        self._has_criteria = any(block.criteria for block in blocks)
        self._reached = functools.cache(self._reached_by)

    def about(self, logins: Class) -> Policy:
        """The policy as it is for a class: without the rules and the users that are not of it."""
        rules = self._rules_about((logins.is_root, logins.blocks))
        return Policy(tuple(rules), self._policy.otherwise)

    def _rules_about(self, key: Key) -> Iterator[Rule]:
        for rule in self._policy.rules:
            users = tuple(each for each in rule.users if key in self._classes(each, rule))
            if rule.users and users:
                yield with_users(rule, users)
            elif not rule.users and key in self._classes("", rule):
                yield rule

    def _classes(self, user: str, rule: Rule) -> frozenset[Key]:
        """The classes that a user of a rule can be in. A directory may have users whom it does not
        list, and of a pattern any number; of a group that a block names, the members are known."""
        is_known = user in self._by_name and not is_pattern(user)
        groups = rule.groups if set(rule.groups) <= self._groups else ()
        return self._reached(user if is_known else "", groups, rule.sources)

    def _reached_by(
        self, user: str, groups: tuple[str, ...], sources: tuple[str, ...]
    ) -> frozenset[Key]:
        people = [self._by_name[user]] if user else self._people
        people = [each for each in people if not groups or each.groups & {*groups}]
        if not self._has_criteria:
            return frozenset((each.is_root, self._blocks) for each in people)
        found = classes_of(self._blocks, people, networks(sources))
        return frozenset((each.is_root, each.blocks) for each in found)
