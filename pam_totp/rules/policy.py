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
# The kinds of codes that a rule may accept. The app's always is; the others this host makes and
# sends, the weakest last.
TOTP, SMS, MAIL = METHODS = ("totp", "sms", "mail")
SENT = (SMS, MAIL)
SK = "sk"  # a security key, as the names of its types begin

BETWEEN_FIELDS, BETWEEN_NAMES = "\t", "\x1f"


class Rule(Record):
    """users, groups, services: names and shell patterns; sources: networks and "local"; of each,
    empty means any. publickey: "yes", "no", SK or "" for any. code: one of CODES. methods: those of
    METHODS that are accepted, the preferred one first. line: of the settings file, 0 for the
    default where no rule matches."""

    code: str
    line: int = 0
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    publickey: str = ""
    methods: tuple[str, ...] = (TOTP,)


class Subject(Record):
    """The login that rules are matched against.

    address: bytes of an IPv4 or IPv6 address; empty: from this machine; None: unknown.
    publickey: what a rule may say of its key. is_in: whether the user is in a group of this name or
    pattern; None: unknown.
    """

    user: str
    service: str
    address: bytes | None
    publickey: tuple[str, ...]
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


def has_more_to_say(rules: bytes, user: str) -> bool:
    """Whether any of the encoded rules that may be about this user has `never`, or codes that are
    sent: then a login is not certain to be asked, and no more. Raises ValueError."""
    about = [decode(text) for text in rules_about(rules, user)]
    found = [rule for rule in about if rule.code == NEVER or rule.methods != (TOTP,)]
    return any(_has(rule.users, user) for rule in found)


def kinds_of(key: str) -> tuple[str, ...]:
    """What a rule may say of a login with this key, as sshd reports it; empty: without one."""
    of_key = ("yes", SK) if key.startswith("publickey sk-") else ("yes",)
    return of_key if key else ("no",)


def decode(text: str) -> Rule:
    """The rule of one of these. Raises ValueError."""
    _number, *names, publickey, accepted, code, line = text.split(BETWEEN_FIELDS)
    lists = (tuple(field.split(BETWEEN_NAMES)) if field else () for field in names)
    methods = tuple(accepted.split(BETWEEN_NAMES))
    is_known = code in CODES and publickey in ("", "yes", "no", SK) and TOTP in methods
    if not is_known or not set(methods) <= set(METHODS):
        raise ValueError("no rule")
    named = dict(zip(("users", "groups", "services", "sources"), lists, strict=True))
    return Rule(code=code, line=int(line), publickey=publickey, methods=methods, **named)


def first_match(rules: bytes, subject: Subject, otherwise: str) -> Rule:
    """The rule that decides, of encoded ones; `otherwise` is the code where none matches."""
    found, possible = Rule(code=otherwise), []
    for text in rules_about(rules, subject.user):
        rule = decode(text)
        does_match = match(rule, subject)
        if does_match:
            found = rule
            break
        if does_match is None:
            possible.append(rule)
    for rule in possible:
        found = stricter(found, rule)
    return found


def stricter(rule: Rule, other: Rule) -> Rule:
    """The one that asks for a code where the other does not, else `rule`; of its methods, those
    that both accept."""
    found = other if CODES.index(other.code) > CODES.index(rule.code) else rule
    both = tuple(each for each in found.methods if each in rule.methods and each in other.methods)
    return Rule(**vars(found) | {"methods": both})


def match(rule: Rule, subject: Subject) -> bool | None:
    """Whether all of the rule's conditions are met; None: unknown."""
    if rule.publickey and rule.publickey not in subject.publickey:
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
