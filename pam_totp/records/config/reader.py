# SPDX-License-Identifier: MIT
"""Reads /etc/pam-totp/config.yaml, until the first fault: one sentence with its position.

Imported by a login only in the first one after the file changed (pam_totp.records.config.settings).
All faults, and what may have been meant, are for `pam-totp config check`
(pam_totp.review.settings_faults).
"""

import os
import sys
from contextlib import suppress
from typing import Any

from pam_totp.records.config.table import DEFAULTS, SETTINGS
from pam_totp.records.config.values import PLACEHOLDER, canonical
from pam_totp.records.config.way import fault_of_the_way
from pam_totp.rules.encoding import encode
from pam_totp.rules.enrollment import BY
from pam_totp.rules.policy import CODES, METHODS, TOTP, Rule

# A login starts without dist-packages; Debian's PyYAML is there.
sys.path.append("/usr/lib/python3/dist-packages")

import yaml

Node = Any  # of PyYAML; its `id` is "scalar", "sequence" or "mapping"

MAX_BYTES = 1024 * 1024  # 10,000 rules: PyYAML reads them in three seconds, once
MAX_SERVICES = 100  # in enrollment_services: a snapshot keeps 64 KiB free of rules
RULES = "rules"
NULL = "tag:yaml.org,2002:null"
# Of a rule, the attribute takes the place of the default.
TABLE = SETTINGS | {
    "enrollment.by": ("", "date"),
    "rules.user": ("users", "names"),
    "rules.group": ("groups", "names"),
    "rules.service": ("services", "service names"),
    "rules.from": ("sources", "networks"),
    "rules.publickey": ("publickey", "kind of key"),
    "rules.code": ("code", "choice", *CODES),
    "rules.methods": ("methods", "methods", *METHODS),
}
FAULTS = (yaml.YAMLError, ValueError, OverflowError, RecursionError)
# Of these kinds, a list is allowed.
LISTS = ("services", "names", "service names", "networks", "methods")


def fault(at: Any, problem: str) -> yaml.MarkedYAMLError:
    """What is wrong with a node, or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


class _Loader(yaml.SafeLoader):  # not libyaml's: it ends the process where brackets nest deep
    """No aliases and no tags: each value is written where it applies, and as it is."""

    def compose_node(self, parent: Node, index: Any) -> Node:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise fault(event, f"alias *{event.anchor} not allowed")
        if event.tag:
            raise fault(event, f"tag {event.tag!r} not allowed")
        return super().compose_node(parent, index)


def read(path: str) -> tuple[dict[str, str], bytes, str]:
    """The values of the file over the defaults, its rules encoded, and what is wrong with it.
    Raises OSError where it cannot be read."""
    way = fault_of_the_way(path)
    if way:
        return DEFAULTS, b"", way
    with open(path, "rb") as file:
        status, content = os.fstat(file.fileno()), file.read(MAX_BYTES + 1)
    mode = status.st_mode & 0o7777
    if status.st_uid != 0:
        return DEFAULTS, b"", f"must be owned by root (owned by uid {status.st_uid})"
    if mode & 0o022:
        return DEFAULTS, b"", f"must not be writable by group or others (mode {mode:04o})"
    try:
        values, rules = parse(compose(content))
        return values, encode(rules), ""
    except FAULTS as failure:
        return DEFAULTS, b"", sentence(failure)


def compose(content: bytes) -> Node:
    """The nodes of a file, None if it has only comments. Raises FAULTS."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES} bytes")
    if not content.strip():
        raise ValueError("the file is empty")
    return yaml.compose(content, Loader=_Loader)


def sentence(failure: Exception) -> str:
    """What is wrong, with its line and column, for people."""
    if isinstance(failure, yaml.MarkedYAMLError) and failure.problem_mark:
        return f"{position(failure.problem_mark)}: {failure.problem}"
    return " ".join(str(failure).split())


def position(mark: Any) -> str:
    """Line and column, for people."""
    return f"line {mark.line + 1}, column {mark.column + 1}"


def parse(root: Node) -> tuple[dict[str, str], list[Rule]]:
    """The values over the defaults, and the rules in their order. Raises FAULTS."""
    found = _read_mapping("", root) if root else {}
    for section in [value for value in found.values() if isinstance(value, dict)]:
        found |= section
    values = {key: found.get(key, default) for key, default in DEFAULTS.items()}
    rules = found.get(RULES, [])
    return values, rules


def _read_mapping(prefix: str, node: Node) -> dict[str, Any]:
    """The values of a mapping, by the names that its keys have in TABLE, with this prefix."""
    if node.id != "mapping":
        raise fault(node, f"expected KEY: VALUE pairs (got {shown(node)})")
    known = {key.removeprefix(prefix).partition(".")[0] for key in TABLE if key.startswith(prefix)}
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.id != "scalar" or key.value not in known:
            raise fault(key, f"unknown key {shown(key)}")
        name = prefix + key.value
        if name in found:
            raise fault(key, f"duplicate key {shown(key)}")
        found[name] = _read_value(name, value)
    return found


def _read_value(key: str, node: Node) -> Any:
    """A text; for a list that a rule has, a tuple; for a section, what _read_mapping returns."""
    if key == RULES:
        return _read_rules(node)
    if key not in TABLE:  # a section
        return _read_mapping(f"{key}.", node)
    default, kind, *allowed = TABLE[key]
    if kind == "mode" and node.id == "mapping" and node.value:
        return f"{BY} {_read_mapping(f'{key}.', node)[f'{key}.{BY}']}"
    if kind not in LISTS:
        return _read_text(key, node, kind, allowed or PLACEHOLDER.findall(default))
    entries = node.value if node.id == "sequence" else [node]
    texts = [_read_text(key, entry, kind, allowed) for entry in entries]
    if len(texts) > MAX_SERVICES and kind == "services":
        raise fault(node, f"{key} must have at most {MAX_SERVICES} entries (got {len(texts)})")
    if kind == "services":
        return " ".join(dict.fromkeys(texts))
    twice = [at for at, text in enumerate(texts) if kind == "methods" and text in texts[:at]]
    if twice:
        raise fault(entries[twice[0]], f"{key} has {texts[twice[0]]} twice")
    if kind == "methods" and TOTP not in texts:
        raise fault(node, f"{key} must have {TOTP} too; write [{', '.join([TOTP, *texts])}]")
    if not texts:
        raise fault(node, f"{key}: empty list, so the rule would match nobody")
    return tuple(texts)


def _read_text(key: str, node: Node, kind: str, allowed: list[str]) -> str:
    with suppress(ValueError, LookupError):
        if node.id == "scalar" and node.tag != NULL:
            return canonical(kind, node.value, *allowed)
    raise fault(node, f"invalid {key} (got {shown(node)})")


def _read_rules(node: Node) -> list[Rule]:
    if node.id != "sequence":
        raise fault(node, f"rules must be a list of `- code: …` (got {shown(node)})")
    return [_read_rule(entry) for entry in node.value]


def _read_rule(node: Node) -> Rule:
    found = _read_mapping("rules.", node)
    if "rules.code" not in found:
        raise fault(node, f"missing key code ({', '.join(CODES)})")
    conditions = {TABLE[key][0]: value for key, value in found.items()}
    return Rule(line=node.start_mark.line + 1, **conditions)


def shown(node: Node) -> str:
    """A value as faults quote it: printable, whatever it is, and not all of a long one."""
    if node.id == "scalar":
        return repr(node.value[:60])
    return "a list" if node.id == "sequence" else "a mapping"
