"""Reads /etc/pam-totp/config.yaml and reports all its faults at once, each with its place.

Imported by a login only in the first one after the file changed (pam_totp.records.settings).
"""

import os
import sys
from typing import TYPE_CHECKING, Any

from pam_totp.records import keys, rule_reader
from pam_totp.records.settings import DEFAULTS
from pam_totp.rules.policy import Rule, encode

# A login starts without dist-packages; Debian's PyYAML is there.
_LIBRARIES = "/usr/lib/python3/dist-packages"
if _LIBRARIES not in sys.path:
    sys.path.append(_LIBRARIES)

import yaml  # noqa: E402 - the path to it is set above

if TYPE_CHECKING:
    from pam_totp.records.keys import Node

MOST_BYTES = 1024 * 1024  # 10,000 rules: PyYAML reads them in three seconds, once
RULES = "rules"


class Content:
    """values: over the defaults, by the keys of DEFAULTS; rules: in their order; places: where the
    keys stand that the file gives; faults: what is wrong, in the file's order."""

    def __init__(self) -> None:
        self.values = dict(DEFAULTS)
        self.rules: list[Rule] = []
        self.places: dict[str, str] = {}
        self.faults: list[str] = []


def read(path: str) -> tuple[dict[str, str], str, list[str]]:
    """The values of the file over the defaults, its rules encoded, and what is wrong with it."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != 0 or status.st_mode & 0o022:
                return dict(DEFAULTS), "", ["is not root's alone to write"]
            content = file.read(MOST_BYTES + 1)
    except OSError as failure:
        return dict(DEFAULTS), "", [failure.strerror or "cannot be read"]
    found = parse(content)
    return found.values, encode(found.rules), found.faults


def parse(content: bytes) -> Content:
    """What the bytes of a file say."""
    found = Content()
    if len(content) > MOST_BYTES:
        found.faults = [f"is over {MOST_BYTES} bytes"]
    elif not content.strip():
        found.faults = ["is empty: a write that failed? (a line of comment would do)"]
    else:
        try:
            # Not libyaml's: it is faster, and ends the process where brackets nest deep enough.
            root: Any = yaml.compose(content, Loader=yaml.SafeLoader)
        except yaml.YAMLError as failure:
            mark = getattr(failure, "problem_mark", None)
            place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            found.faults = [f"{place}{getattr(failure, 'problem', None) or 'is no YAML'}"]
        except (RecursionError, OverflowError, ValueError):
            found.faults = ["is no YAML"]
        else:
            if root is not None:
                _read_mapping(root, "", found)
    return found


def _read_mapping(node: "Node", prefix: str, found: Content) -> None:
    if not isinstance(node, yaml.MappingNode):
        where = prefix.rstrip(".") or "the file"
        found.faults.append(f"{keys.place(node)}: {where} takes KEY: VALUE lines")
        return
    seen = set[str]()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):  # its text may be as large as one likes
            found.faults.append(f"{keys.place(key_node)}: a key is a word")
            continue
        name = key_node.value
        key = f"{prefix}{name}"
        if key in seen:
            found.faults.append(f"{keys.place(key_node)}: {key} stands there twice")
        elif key == RULES:
            found.rules, faults = rule_reader.read(value_node)
            found.faults += faults
        elif key in DEFAULTS and "." not in name:
            found.places[key] = keys.place(key_node)
            _read_value(key, value_node, found)
        elif "." not in name and any(known.startswith(f"{key}.") for known in DEFAULTS):
            _read_mapping(value_node, f"{key}.", found)
        else:
            also = keys.did_you_mean(key, _names(prefix))
            found.faults.append(f"{keys.place(key_node)}: unknown key {key}{also}")
        seen.add(key)


def _read_value(key: str, node: "Node", found: Content) -> None:
    try:
        found.values[key] = keys.read_value(key, node)
    except keys.Wrong as wrong:
        found.faults.append(f"{keys.place(wrong.node)}: {key} {wrong}")


def _names(prefix: str) -> list[str]:
    """The full names of the keys that may stand in the mapping with this prefix."""
    below = [key.removeprefix(prefix) for key in DEFAULTS if key.startswith(prefix)]
    return sorted(
        {prefix + key.partition(".")[0] for key in below} | (set() if prefix else {RULES})
    )
