# SPDX-License-Identifier: MIT
"""Shadowed rules: an earlier rule matches every login that they match. Pure."""

import functools
import ipaddress
from collections.abc import Iterator

from pam_totp.rules.pattern import is_pattern, matches
from pam_totp.rules.policy import LOCAL, SK, Rule

# How many rules that apply to any user are compared with all later ones.
MAX_BROAD_RULES = 500

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def shadowed(rules: list[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Each shadowed rule, with the earlier one that shadows it; only where that is certain."""
    by_name: dict[tuple[str, str], list[Rule]] = {}
    broad: list[Rule] = []
    for rule in rules:
        candidates = list(broad)
        for kind, names in _lists(rule):
            candidates += by_name.get((kind, names[0]), []) if names else []
        earlier = min(
            (each for each in candidates if covers(each, rule)),
            key=lambda each: each.line,
            default=None,
        )
        if earlier is not None:
            yield rule, earlier
            continue  # what it would shadow, the earlier one shadows
        # A rule with a list of plain names can only shadow one whose list begins with such a name.
        plain = [
            (kind, names)
            for kind, names in _lists(rule)
            if names and (kind == "group" or not any(is_pattern(name) for name in names))
        ]
        if plain:
            kind, names = plain[0]
            for name in names:
                by_name.setdefault((kind, name), []).append(rule)
        elif len(broad) < MAX_BROAD_RULES:
            broad.append(rule)


def _lists(rule: Rule) -> list[tuple[str, tuple[str, ...]]]:
    return [("user", rule.users), ("group", rule.groups), ("service", rule.services)]


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether every login that the narrow rule matches is certain to match the wide one."""
    # Groups are compared by name only: two may have one number, and a pattern finds one name.
    has_groups = not wide.groups or (bool(narrow.groups) and set(narrow.groups) <= set(wide.groups))
    return (
        has_groups
        and _has_kind(wide.publickey, narrow.publickey)
        and _has_names(wide.users, narrow.users)
        and _has_names(wide.services, narrow.services)
        and _has_sources(wide.sources, narrow.sources)
    )


def _has_kind(wide: str, narrow: str) -> bool:
    return wide in ("", narrow) or (wide, narrow) == ("yes", SK)


def _has_names(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    if not wide or "*" in wide:
        return True
    names = set(wide)
    patterns = [name for name in wide if is_pattern(name)]
    return bool(narrow) and all(
        name in names or any(_takes(pattern, name) for pattern in patterns) for name in narrow
    )


def _takes(pattern: str, name: str) -> bool:
    """Whether the pattern matches all that the other name or pattern does."""
    if not is_pattern(name):
        return matches(pattern, name)
    if pattern.endswith("*") and not is_pattern(pattern[:-1]):
        return name.startswith(pattern[:-1])
    end = pattern[1:]
    # A ] at the end of the other pattern could be that of a [...].
    return pattern.startswith("*") and not is_pattern(end) and "]" not in end and name.endswith(end)


def _has_sources(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    if not wide:
        return True
    if not narrow:  # not even all networks: a remote host may have a name and no address
        return False
    if set(narrow) <= set(wide):
        return True
    if LOCAL in narrow and LOCAL not in wide:
        return False
    of_wide = networks(wide)
    return all(any(_is_within(each, other) for other in of_wide) for each in networks(narrow))


@functools.cache
def networks(sources: tuple[str, ...]) -> list[Network]:
    """The networks of a rule; neighbours are one."""
    found = [
        ipaddress.ip_network((bytes.fromhex(first), int(prefix)))
        for first, _, prefix in (source.partition("/") for source in sources if source != LOCAL)
    ]
    collapsed: list[Network] = []
    collapsed += ipaddress.collapse_addresses(
        each for each in found if isinstance(each, ipaddress.IPv4Network)
    )
    collapsed += ipaddress.collapse_addresses(
        each for each in found if isinstance(each, ipaddress.IPv6Network)
    )
    return collapsed


def _is_within(narrow: Network, wide: Network) -> bool:
    if isinstance(narrow, ipaddress.IPv4Network):
        return isinstance(wide, ipaddress.IPv4Network) and narrow.subnet_of(wide)
    return isinstance(wide, ipaddress.IPv6Network) and narrow.subnet_of(wide)
