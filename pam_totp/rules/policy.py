# SPDX-License-Identifier: MIT
"""Who must enter a code: the administrator's rules. Pure.

Rules are read top to bottom, and the first one that matches decides. If a match cannot be
determined (a group look-up failed, the remote host has a name and no address), the stricter of the
two outcomes is used.
"""

from pam_totp.rules.pattern import matches
from pam_totp.rules.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NEVER, IF_ENROLLED, REQUIRED = CODES = ("never", "if-enrolled", "required")  # stricter each
LOCAL = "local"

BETWEEN_FIELDS, BETWEEN_NAMES = "\t", "\x1f"


class Rule(Record):
    """users, groups, services: names and shell patterns; sources: networks and "local"; of each,
    empty means any. publickey: "yes", "no" or "" for either. code: one of CODES. line: of the
    settings file, 0 for the default where no rule matches."""

    code: str
    line: int = 0
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    publickey: str = ""


class Subject(Record):
    """The login that rules are matched against.

    address: bytes of an IPv4 or IPv6 address; empty: from this machine; None: unknown.
    is_in: whether the user is in a group of this name or pattern; None: unknown.
    """

    user: str
    service: str
    address: bytes | None
    publickey: bool
    is_in: "Callable[[str], bool | None]"


def rules_about(rules: bytes, user: str) -> list[str]:
    """Those of the encoded rules that may match this user, in their order."""
    found = []
    for name in (user, ""):
        begin = f"\n{name}{BETWEEN_FIELDS}".encode("utf-8", "surrogateescape")
        at = rules.find(begin)
        while at >= 0:
            end = rules.find(b"\n", at + 1)
            found.append(rules[at + len(begin) : end].decode())
            at = rules.find(begin, end)
    return sorted(found)


def may_exempt(rules: bytes, user: str) -> bool:
    """Whether any of the encoded rules that may be about this user has `never`. Raises
    ValueError."""
    about = [decode(text) for text in rules_about(rules, user)]
    return any(rule.code == NEVER and _has(rule.users, user) for rule in about)


def decode(text: str) -> Rule:
    """The rule of one of these. Raises ValueError."""
    _number, *names, publickey, code, line = text.split(BETWEEN_FIELDS)
    lists = (tuple(field.split(BETWEEN_NAMES)) if field else () for field in names)
    if code not in CODES or publickey not in ("", "yes", "no"):
        raise ValueError("no rule")
    named = dict(zip(("users", "groups", "services", "sources"), lists, strict=True))
    return Rule(code=code, line=int(line), publickey=publickey, **named)


def first_match(rules: bytes, subject: Subject, otherwise: str) -> Rule:
    """The rule that decides, of encoded ones; `otherwise` is the code where none matches."""
    strictest: Rule | None = None  # of those that may match
    found = Rule(code=otherwise)
    for text in rules_about(rules, subject.user):
        rule = decode(text)
        does_match = match(rule, subject)
        if does_match:
            found = rule
            break
        if does_match is None and (strictest is None or is_stricter(rule, strictest)):
            strictest = rule
    return strictest if strictest is not None and is_stricter(strictest, found) else found


def is_stricter(rule: Rule, other: Rule) -> bool:
    """Whether a rule asks for a code where the other does not."""
    return CODES.index(rule.code) > CODES.index(other.code)


def match(rule: Rule, subject: Subject) -> bool | None:
    """Whether all of the rule's conditions are met; None: unknown."""
    if rule.publickey and subject.publickey != (rule.publickey == "yes"):
        return False
    if not (_has(rule.users, subject.user) and _has(rule.services, subject.service)):
        return False
    is_from = _is_from(rule.sources, subject.address)
    if is_from is False or not rule.groups:
        return is_from
    answers = [subject.is_in(group) for group in rule.groups]
    if True in answers:
        return is_from
    return None if None in answers else False


def _has(names: tuple[str, ...], name: str) -> bool:
    return not names or name in names or any(matches(each, name) for each in names)


def _is_from(sources: tuple[str, ...], address: bytes | None) -> bool | None:
    if not sources:
        return True
    if address == b"":
        return LOCAL in sources
    if address is None:
        return None if sources != (LOCAL,) else False
    return any(source != LOCAL and is_within(source, address) for source in sources)


def is_within(network: str, address: bytes) -> bool:
    """Whether a network, as "HEX/PREFIX" of its first address, has this address."""
    first, _, prefix = network.partition("/")
    spare_bits = len(address) * 8 - int(prefix)
    if len(first) != len(address) * 2:
        return False
    return int(first, 16) >> spare_bits == int.from_bytes(address, "big") >> spare_bits
