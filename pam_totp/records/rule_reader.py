"""Reads `rules` of the settings file: a list of mappings, each of which becomes a Rule."""

import ipaddress
import re
from typing import TYPE_CHECKING

from pam_totp.records.keys import did_you_mean, place, scalar, shown
from pam_totp.rules.policy import CODES, LOCAL, Rule

if TYPE_CHECKING:
    from pam_totp.records.keys import Node

LISTS = ("user", "group", "service", "from")
KEYS = (*LISTS, "publickey", "code")
YES_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
MOST_RULES = 20_000
_IPV4_IN_IPV6 = ipaddress.IPv6Network("::ffff:0:0/96")
# As fnmatch(3) has it: a ] that comes first is a member, and a [ without its ] is itself.
_UNENDED = re.compile(r"\[(?!!?\]?[^\]]*\])")


def read(node: "Node") -> tuple[list[Rule], list[str]]:
    """The rules of the list, in their order, and what is wrong with them."""
    if node.id != "sequence":
        return [], [f"{place(node)}: rules takes a list: `- code: …` lines"]
    if len(node.value) > MOST_RULES:
        return [], [f"{place(node)}: rules has over {MOST_RULES} entries"]
    rules, faults = [], []
    for entry in node.value:
        rule, wrong = _read_rule(entry)
        faults += wrong
        if not wrong:
            rules.append(rule)
    return rules, faults


def _read_rule(node: "Node") -> tuple[Rule, list[str]]:
    rule = Rule("", node.start_mark.line + 1)
    if node.id != "mapping":
        return rule, [f"{place(node)}: a rule takes KEY: VALUE pairs, not {shown(node)}"]
    faults = list[str]()
    seen = set[str]()
    for key_node, value in node.value:
        key = scalar(key_node)
        where = place(key_node)
        if key in seen:
            faults.append(f"{where}: {key} stands in this rule twice")
        elif key in LISTS:
            faults += _read_list(key, value, rule)
        elif key == "publickey":
            rule.publickey = YES_NO.get(scalar(value).lower(), "")
            if not rule.publickey:
                faults.append(f"{place(value)}: publickey is yes or no, not {shown(value)}")
        elif key == "code":
            rule.code = scalar(value)
            if rule.code not in CODES:
                also = did_you_mean(rule.code, CODES)
                allowed = " or ".join(CODES)
                faults.append(f"{place(value)}: code is {allowed}, not {shown(value)}{also}")
        else:
            also = did_you_mean(key, KEYS)
            what = f"unknown key {key!r} in a rule"
            faults.append(f"{where}: {what}, which takes {', '.join(KEYS)}{also}")
        seen.add(key)
    if "code" not in seen:
        faults.append(f"{place(node)}: the rule has no code: {' or '.join(CODES)}")
    return rule, faults


def _read_list(key: str, node: "Node", rule: Rule) -> list[str]:
    entries = node.value if node.id == "sequence" else [node]
    if not entries:
        return [f"{place(node)}: {key} is an empty list, which nobody is in"]
    names, faults = [], []
    for entry in entries:
        try:
            names.append(_network(entry) if key == "from" else _name(entry))
        except ValueError as wrong:
            faults.append(f"{place(entry)}: {key} {wrong}")
    attribute = {"user": "users", "group": "groups", "service": "services", "from": "sources"}[key]
    setattr(rule, attribute, tuple(names))
    return faults


def _name(node: "Node") -> str:
    text = scalar(node)
    if not text or not text.isprintable() or "/" in text or len(text) > 255:
        raise ValueError(f"takes names and patterns, not {shown(node)}")
    if _UNENDED.search(text):
        raise ValueError(f"takes patterns in which each [ has its ], not {shown(node)}")
    return text


def _network(node: "Node") -> str:
    """A network as `pam_totp.rules.policy.is_within` reads it, or "local". Raises ValueError."""
    text = scalar(node)
    if text == LOCAL:
        return text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            exact = ipaddress.ip_network(text, strict=False)
        except ValueError:
            allowed = "an address, a network like 192.0.2.0/24 or 2001:db8::/32, or local"
            raise ValueError(f"takes {allowed}, not {shown(node)}") from None
        raise ValueError(f"{text} has bits behind its prefix: {exact}?") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_IPV4_IN_IPV6):
        first = int(network.network_address) & 0xFFFFFFFF
        network = ipaddress.IPv4Network((first, network.prefixlen - 96))
    return f"{network.network_address.packed.hex()}/{network.prefixlen}"
