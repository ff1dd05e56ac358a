"""Reads `rules` of the settings file: a list of mappings, each of which becomes a Rule."""

import ipaddress
import re
from typing import TYPE_CHECKING

from pam_totp.records.config.validators import Wrong, did_you_mean, scalar, shown, shown_key
from pam_totp.rules.policy import CODES, LOCAL, Rule

if TYPE_CHECKING:
    from pam_totp.records.config.validators import Node

LISTS = {"user": "users", "group": "groups", "service": "services", "from": "sources"}
KEYS = (*LISTS, "publickey", "code")
YES_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
MAX_RULES = 20_000
_IPV4_IN_IPV6 = ipaddress.IPv6Network("::ffff:0:0/96")
# As pam_totp.rules.pattern reads it: a ] that comes first is a member.
_WELL_FORMED = re.compile(r"(?:[^\[]|\[(?:!.|[^!])[^\]]*\])*", re.DOTALL)


def read(node: "Node") -> tuple[list[Rule], list[Wrong]]:
    """The rules of the list, in their order, and what is wrong with them."""
    if node.id != "sequence":
        return [], [Wrong(node, f"rules takes a list: `- code: …` lines, not {shown(node)}")]
    if len(node.value) > MAX_RULES:
        return [], [Wrong(node, f"rules has {len(node.value)} entries, over {MAX_RULES}")]
    rules, faults = [], []
    for entry in node.value:
        rule, wrong = _read_rule(entry)
        faults += wrong
        if not wrong:
            rules.append(rule)
    return rules, faults


def _read_rule(node: "Node") -> tuple[Rule, list[Wrong]]:
    rule = Rule("", node.start_mark.line + 1)
    if node.id != "mapping":
        return rule, [Wrong(node, f"a rule takes KEY: VALUE pairs, not {shown(node)}")]
    faults = list[Wrong]()
    seen = set[str]()
    for key_node, value in node.value:
        key = scalar(key_node)
        if key in seen:
            faults.append(Wrong(key_node, f"{shown_key(key_node)} stands in this rule twice"))
        elif key in LISTS:
            faults += _read_list(key, value, rule)
        elif key == "publickey":
            rule.publickey = YES_NO.get(scalar(value).lower(), "")
            if not rule.publickey:
                faults.append(Wrong(value, f"publickey is yes or no, not {shown(value)}"))
        elif key == "code":
            rule.code = scalar(value)
            if rule.code not in CODES:
                what = f"code is {' or '.join(CODES)}, not {shown(value)}"
                faults.append(Wrong(value, what + did_you_mean(rule.code, CODES)))
        else:
            what = f"unknown key {shown_key(key_node)} in a rule, which takes {', '.join(KEYS)}"
            faults.append(Wrong(key_node, what + did_you_mean(key, KEYS)))
        seen.add(key)
    if "code" not in seen:
        faults.append(Wrong(node, f"the rule has no code: {' or '.join(CODES)}"))
    return rule, faults


def _read_list(key: str, node: "Node", rule: Rule) -> list[Wrong]:
    entries = node.value if node.id == "sequence" else [node]
    if not entries:
        return [Wrong(node, f"{key} is an empty list, which nobody is in")]
    names, faults = [], []
    for entry in entries:
        try:
            name = _network(entry) if key == "from" else _name(entry)
            names.append(name.lower() if key == "service" else name)  # as libpam has them
        except ValueError as wrong:
            faults.append(Wrong(entry, f"{key} {wrong}"))
    setattr(rule, LISTS[key], tuple(names))
    return faults


def _name(node: "Node") -> str:
    text = scalar(node)
    if not text or not text.isprintable() or "/" in text or len(text) > 255:
        raise ValueError(f"takes names and patterns, not {shown(node)}")
    if not _WELL_FORMED.fullmatch(text):
        raise ValueError(f"takes patterns in which each [ has its ], not {shown(node)}")
    return text


def _network(node: "Node") -> str:
    """A network as `pam_totp.rules.policy.is_within` reads it, or "local". Raises ValueError."""
    text = scalar(node)
    if text == LOCAL:
        return text
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        allowed = "an address, a network like 192.0.2.0/24 or 2001:db8::/32, or local"
        also = did_you_mean(text, [LOCAL])
        raise ValueError(f"takes {allowed}, not {shown(node)}{also}") from None
    if "%" in text:
        raise ValueError(f"takes no interface: {shown(node)}")
    if ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"takes no bits behind the prefix: {network}, not {shown(node)}")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_IPV4_IN_IPV6):
        first = int(network.network_address) & 0xFFFFFFFF
        network = ipaddress.IPv4Network((first, network.prefixlen - 96))
    return f"{network.network_address.packed.hex()}/{network.prefixlen}"
