# SPDX-License-Identifier: MIT
"""Faults of a settings file, explained: what would be right, and what may have been meant."""

import ipaddress

from pam_totp.records.config.reader import RULES, TABLE, Node
from pam_totp.records.config.table import SETTINGS
from pam_totp.records.config.values import PLACEHOLDER
from pam_totp.review.allowed_values import must_be
from pam_totp.rules.policy import LOCAL
from pam_totp.spelling import did_you_mean

OF_WORDS = ("choice", "mode", "methods", "program")  # kinds of which the allowed values are words


def explain(node: Node, key: str, is_key: bool, problem: str) -> str:
    """The problem, with what would be right and what may have been meant. The node is that key, or
    a value of it."""
    if is_key and problem.startswith("unknown key"):
        return problem + _meant(node, key.removesuffix(str(node.value)))
    if not problem.startswith(f"invalid {key} "):
        return problem
    got = problem.removeprefix(f"invalid {key} ")
    default, kind, *allowed = TABLE[key]
    text = node.value if node.id == "scalar" else ""
    if kind == "message" and (unknown := _unknown_placeholders(text, default)):
        return f"{key} has {unknown} {got}"
    if kind in ("names", "service names") and "[" in text:
        return f"{key} has a [ without ] {got}"
    if kind == "networks" and (network := _network_of(text)):
        if "%" in text:
            return f"{key} must not name an interface {got}"
        return f"{key} has host bits set {got}; did you mean {network}?"
    words = [LOCAL] if kind == "networks" else allowed if kind in OF_WORDS else []
    return f"{key} must be {must_be(kind, allowed)} {got}{did_you_mean(text.lower(), words)}"


def _unknown_placeholders(text: str, default: str) -> str:
    known = PLACEHOLDER.findall(default)
    unknown = [each for each in PLACEHOLDER.findall(text) if each not in known]
    can_be = " and ".join(known) or "none"
    return f"the unknown placeholder {unknown[0]} (allowed: {can_be})" if unknown else ""


def _network_of(text: str) -> str:
    """The network that a text is about, without what is too much; empty if it is none."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


def _meant(key: Node, prefix: str) -> str:
    """What an unknown key may stand for: a similar one, or one that belongs below another."""
    if key.id != "scalar":
        return "; a key must be a word"
    names = [each.removeprefix(prefix) for each in TABLE if each.startswith(prefix)]
    known = list(dict.fromkeys(each.partition(".")[0] for each in names))
    near = did_you_mean(key.value, known, prefix.removeprefix(f"{RULES}."))
    for each in SETTINGS:
        section, _, leaf = each.rpartition(".")
        if section and (key.value == each or (key.value == leaf and not near)):
            return f"; did you mean {section}: {{{leaf}: …}}?"
    return near or f" (known here: {', '.join(known)})"
