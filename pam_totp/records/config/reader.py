"""Reads /etc/pam-totp/config.yaml and reports all its faults at once, each with its place.

Imported by a login only in the first one after the file changed (pam_totp.records.config.settings).
"""

import os
import sys
from typing import TYPE_CHECKING, Any

from pam_totp.records.config import rule_reader, snapshot, validators
from pam_totp.records.config.settings import DEFAULTS, SCARCE
from pam_totp.rules.encoding import encode, encoded_bytes
from pam_totp.rules.policy import Rule

# A login starts without dist-packages; Debian's PyYAML is there.
_LIBRARIES = "/usr/lib/python3/dist-packages"
if _LIBRARIES not in sys.path:
    sys.path.append(_LIBRARIES)

import yaml  # noqa: E402 - the path to it is set above

if TYPE_CHECKING:
    from pam_totp.records.config.validators import Node

MAX_BYTES = 1024 * 1024  # 10,000 rules: PyYAML reads them in three seconds, once
# The snapshot that could not be read again would be made anew at every login.
MAX_RULES_BYTES = snapshot.MAX_BYTES - 64 * 1024
RULES = "rules"


class _Loader(yaml.SafeLoader):  # not libyaml's: it ends the process where brackets nest deep
    """What a file says stands where it is said: no aliases; and as it is written: no tags."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag or (isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors):
            what = f"tag {tag!r}" if tag else f"alias *{event.anchor}"
            raise yaml.MarkedYAMLError(problem=f"takes no {what}", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


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
            content = file.read(MAX_BYTES + 1)
    except OSError as failure:
        if failure.errno in SCARCE:
            raise
        return dict(DEFAULTS), "", [failure.strerror or "cannot be read"]
    found = parse(content)
    return found.values, "" if found.faults else encode(found.rules), found.faults


def parse(content: bytes) -> Content:
    """What the bytes of a file say."""
    found = Content()
    if len(content) > MAX_BYTES:
        found.faults = [f"is over {MAX_BYTES} bytes"]
    elif not content.strip():
        found.faults = ["is empty: a write that failed? (a line of comment would do)"]
    else:
        try:
            root: Any = yaml.compose(content, Loader=_Loader)
        except yaml.YAMLError as failure:
            found.faults = [_describe(failure, content)]
        except (RecursionError, OverflowError, ValueError):
            found.faults = ["is no YAML"]
        else:
            if root is not None:
                found.faults = validators.in_order(_read_mapping(root, "", found))
            if encoded_bytes(found.rules) > MAX_RULES_BYTES:
                found.faults.append(f"has rules of over {MAX_RULES_BYTES} bytes in the snapshot")
    return found


def _describe(failure: yaml.YAMLError, content: bytes) -> str:
    """A fault of the YAML itself, of which there is one at a time."""
    if isinstance(failure, yaml.reader.ReaderError):
        at, is_decoded = failure.position, failure.encoding != "utf-8"
        before = (content if is_decoded else content[:at]).decode(errors="replace")[:at]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return f"line {line}, column {column}: is no text: {failure.reason}"
    problem, mark = getattr(failure, "problem", None), getattr(failure, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{problem or 'is no YAML'}"


def _read_mapping(node: "Node", prefix: str, found: Content) -> list[validators.Wrong]:
    if not isinstance(node, yaml.MappingNode):
        where = prefix.rstrip(".") or "the file"
        return [
            validators.Wrong(node, f"{where} takes KEY: VALUE lines, not {validators.shown(node)}")
        ]
    faults = list[validators.Wrong]()
    seen = set[str]()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):  # its text may be as large as one likes
            faults.append(
                validators.Wrong(key_node, f"a key is a word, not {validators.shown(key_node)}")
            )
            continue
        name = key_node.value
        key, shown = f"{prefix}{name}", validators.shown_key(key_node, prefix)
        if key in seen:
            faults.append(validators.Wrong(key_node, f"{shown} stands there twice"))
        elif key == RULES:
            found.rules, of_rules = rule_reader.read(value_node)
            faults += of_rules
        elif key in DEFAULTS and "." not in name:
            found.places[key] = validators.position(key_node)
            try:
                found.values[key] = validators.read_value(key, value_node)
            except validators.Wrong as wrong:
                faults.append(validators.Wrong(wrong.node, f"{key} {wrong}"))
        elif "." not in name and any(known.startswith(f"{key}.") for known in DEFAULTS):
            faults += _read_mapping(value_node, f"{key}.", found)
        else:
            faults.append(validators.Wrong(key_node, f"unknown key {shown}{_meant(name, prefix)}"))
        seen.add(key)
    return faults


def _meant(name: str, prefix: str) -> str:
    """What may be meant by an unknown key: one that is near, or one that stands below another."""
    near = validators.did_you_mean(prefix + name, _names(prefix))
    for key in DEFAULTS:
        section, _, leaf = key.rpartition(".")
        if section and (name == key or (name == leaf and not near)):
            return f"; did you mean {section}: {{{leaf}: …}}?"
    return near


def _names(prefix: str) -> list[str]:
    """The full names of the keys that may stand in the mapping with this prefix."""
    known = [key for key in (*DEFAULTS, RULES) if key.startswith(prefix)]
    return sorted({prefix + key.removeprefix(prefix).partition(".")[0] for key in known})
