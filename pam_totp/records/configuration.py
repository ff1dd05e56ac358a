"""Reads /etc/pam-totp/config.yaml and reports all its faults at once, each with its place.

Imported by a login only in the first one after the file changed (pam_totp.records.settings).
"""

import difflib
import os
import sys
from typing import TYPE_CHECKING, Any

from pam_totp.records.settings import DEFAULTS

# A login starts without dist-packages; Debian's PyYAML is there.
_LIBRARIES = "/usr/lib/python3/dist-packages"
if _LIBRARIES not in sys.path:
    sys.path.append(_LIBRARIES)

import yaml  # noqa: E402 - the path to it is set above

if TYPE_CHECKING:
    from yaml import MappingNode, Node

MOST_BYTES = 64 * 1024
CHOICES = {"store": ("user", "system")}
RANGES = {
    "throttle.free_tries": (1, 20),
    "throttle.first_wait": (1, 900),
    "throttle.longest_wait": (30, 900),
}


def read(path: str) -> tuple[dict[str, str], list[str]]:
    """The values of the file over the defaults, and what is wrong with it, in its order."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != 0 or status.st_mode & 0o022:
                return dict(DEFAULTS), ["is not root's alone to write"]
            content = file.read(MOST_BYTES + 1)
    except OSError as failure:
        return dict(DEFAULTS), [failure.strerror or "cannot be read"]
    if len(content) > MOST_BYTES:
        return dict(DEFAULTS), [f"is over {MOST_BYTES} bytes"]
    return parse(content)


def parse(content: bytes) -> tuple[dict[str, str], list[str]]:
    """The same for the bytes of a file."""
    values, faults = dict(DEFAULTS), list[str]()
    if not content.strip():
        return values, ["is empty: a write that failed? (a line of comment would do)"]
    try:
        root: Any = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return values, [f"{place}{getattr(failure, 'problem', None) or 'is no YAML'}"]
    except (RecursionError, OverflowError, ValueError):
        return values, ["is no YAML"]
    if root is not None:
        _read_mapping(root, "", values, faults)
    return values, faults


def _read_mapping(node: "Node", prefix: str, values: dict[str, str], faults: list[str]) -> None:
    if not isinstance(node, yaml.MappingNode):
        faults.append(f"{_place(node)}: {prefix.rstrip('.') or 'the file'} takes KEY: VALUE lines")
        return
    seen = set[str]()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):  # its text may be as large as one likes
            faults.append(f"{_place(key_node)}: a key is a word")
            continue
        name = key_node.value
        key = f"{prefix}{name}"
        if key in seen:
            faults.append(f"{_place(key_node)}: {key} stands there twice")
        elif key in values and "." not in name:
            _read_value(key, value_node, values, faults)
        elif "." not in name and any(known.startswith(f"{key}.") for known in values):
            _read_mapping(value_node, f"{key}.", values, faults)
        else:
            near = difflib.get_close_matches(key, _names(values, prefix), 1)
            also = f"; did you mean {near[0]}?" if near else ""
            faults.append(f"{_place(key_node)}: unknown key {key}{also}")
        seen.add(key)


def _read_value(key: str, node: "Node", values: dict[str, str], faults: list[str]) -> None:
    text = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
    if key in CHOICES:
        if text in CHOICES[key]:
            values[key] = text
        else:
            faults.append(f"{_place(node)}: {key} is {' or '.join(CHOICES[key])}, not {text!r}")
        return
    least, most = RANGES[key]
    if text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most:
        values[key] = str(int(text))
    else:
        faults.append(f"{_place(node)}: {key} is a number from {least} to {most}, not {text!r}")


def _names(values: dict[str, str], prefix: str) -> list[str]:
    """The full names of the keys that may stand in the mapping with this prefix."""
    below = [key.removeprefix(prefix) for key in values if key.startswith(prefix)]
    return sorted({prefix + key.partition(".")[0] for key in below})


def _place(node: "Node | MappingNode") -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
