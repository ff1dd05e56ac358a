"""Reads `rules` of the settings file: a list of mappings, each of which becomes a Rule."""

import ipaddress
import re
from typing import TYPE_CHECKING

from pam_totp.records.config.validators import Wrong, choice, entries, must_be, pairs, scalar
from pam_totp.rules.policy import CODES, LOCAL, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pam_totp.records.config.validators import Node

LISTS = {"user": "users", "group": "groups", "service": "services", "from": "sources"}
CHOICES = {"publickey": ("yes", "no"), "code": CODES}
KEYS = (*LISTS, *CHOICES)
MAX_RULES = 20_000
_IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# As pam_totp.rules.pattern reads it: a ] that comes first is a member.
_WELL_FORMED = re.compile(r"(?:[^\[]|\[(?:!.|[^!])[^\]]*\])*", re.DOTALL)


def read(node: "Node", faults: list[Wrong]) -> list[Rule]:
    """The rules of the list that are good, in their order; what is wrong with the others is added
    to the faults."""
    if node.id != "sequence":
        faults.append(must_be(node, "rules", "a list of `- code: …`"))
    elif len(node.value) > MAX_RULES:
        what = f"rules must have at most {MAX_RULES} entries (got {len(node.value)})"
        faults.append(Wrong(node, what))
    else:
        return [rule for entry in node.value if (rule := _read_rule(entry, faults))]
    return []


def _read_rule(node: "Node", faults: list[Wrong]) -> Rule | None:
    rule, wrong, given = Rule(code="", line=node.start_mark.line + 1), list[Wrong](), set[str]()
    for key, _, value in pairs(node, "a rule", KEYS, wrong):
        given.add(key)
        try:
            if key in LISTS:
                setattr(rule, LISTS[key], tuple(_read_list(key, value, wrong)))
            else:
                setattr(rule, key, choice(key, value, CHOICES[key]))
        except Wrong as fault:
            wrong.append(fault)
    if node.id == "mapping" and "code" not in given:
        wrong.append(Wrong(node, f"missing key code ({', '.join(CODES)})"))
    faults += wrong
    return None if wrong else rule


def _read_list(key: str, node: "Node", faults: list[Wrong]) -> "Iterator[str]":
    if not entries(node):
        faults.append(Wrong(node, f"{key}: empty list, so the rule would match nobody"))
    for entry in entries(node):
        try:
            yield _network(entry) if key == "from" else _name(key, entry)
        except Wrong as fault:
            faults.append(fault)


def _name(key: str, node: "Node") -> str:
    text = scalar(node)
    if not text or not text.isprintable() or "/" in text or len(text) > 255:
        raise must_be(node, key, "a name or a pattern")
    if not _WELL_FORMED.fullmatch(text):
        raise Wrong(node, f"{key}: [ without ] in the pattern {text!r}")
    return text.lower() if key == "service" else text  # as libpam has them


def _network(node: "Node") -> str:
    """A network as `pam_totp.rules.policy.is_within` reads it, or "local". Raises Wrong."""
    text = scalar(node)
    if text == LOCAL:
        return text
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        allowed = "an address, a network like 192.0.2.0/24 or 2001:db8::/32, or local"
        raise must_be(node, "from", allowed, [LOCAL]) from None
    if "%" in text:
        raise Wrong(node, f"from: {text!r} must not name an interface")
    network = address.network
    if address.ip != network.network_address:
        raise Wrong(node, f"from: {text!r} has host bits set; did you mean {network}?")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        first = int(network.network_address) & 0xFFFFFFFF
        network = ipaddress.IPv4Network((first, network.prefixlen - 96))
    return f"{network.network_address.packed.hex()}/{network.prefixlen}"
