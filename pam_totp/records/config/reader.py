"""Reads /etc/pam-totp/config.yaml and reports all its faults at once, each with its place.

Imported by a login only in the first one after the file changed (pam_totp.records.config.settings).
"""

import os
import sys
from typing import TYPE_CHECKING, Any

from pam_totp.records.config import rule_reader
from pam_totp.records.config.settings import MAX_BYTES as MAX_SNAPSHOT_BYTES
from pam_totp.records.config.settings import SCARCE
from pam_totp.records.config.table import DEFAULTS, SETTINGS
from pam_totp.records.config.validators import Wrong, pairs, position, read_value
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
MAX_RULES_BYTES = MAX_SNAPSHOT_BYTES - 64 * 1024
RULES = "rules"


class _Loader(yaml.SafeLoader):  # not libyaml's: it ends the process where brackets nest deep
    """What a file says stands where it is said: no aliases; and as it is written: no tags."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag or (isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors):
            what = f"tag {tag!r}" if tag else f"alias *{event.anchor}"
            raise yaml.MarkedYAMLError(problem=f"{what} not allowed", problem_mark=event.start_mark)
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
            faults = [f"must be owned by root (owned by uid {status.st_uid})"] * bool(status.st_uid)
            if status.st_mode & 0o022:
                mode = status.st_mode & 0o7777
                faults.append(f"must not be writable by group or others (mode {mode:04o})")
            if faults:
                return dict(DEFAULTS), "", faults
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
        found.faults = [f"the file is larger than {MAX_BYTES} bytes"]
    elif not content.strip():
        found.faults = [
            "the file is empty, perhaps because a write failed (for the defaults, write a comment)"
        ]
    else:
        try:
            root: Any = yaml.compose(content, Loader=_Loader)
        except yaml.YAMLError as failure:
            found.faults = [_describe(failure, content)]
        except (RecursionError, OverflowError, ValueError):
            found.faults = ["not valid YAML"]
        else:
            if root is not None:
                wrong: list[Wrong] = []
                _read_settings(root, "", found, wrong)
                wrong.sort(key=lambda each: each.node.start_mark.index)
                found.faults = [f"{position(each.node)}: {each}" for each in wrong]
            if encoded_bytes(found.rules) > MAX_RULES_BYTES:
                found.faults.append(f"the rules are larger than {MAX_RULES_BYTES} bytes")
    return found


def _describe(failure: yaml.YAMLError, content: bytes) -> str:
    """A fault of the YAML itself, of which there is one at a time."""
    if isinstance(failure, yaml.reader.ReaderError):
        at, is_decoded = failure.position, failure.encoding != "utf-8"
        before = (content if is_decoded else content[:at]).decode(errors="replace")[:at]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return f"line {line}, column {column}: not valid text: {failure.reason}"
    problem, mark = getattr(failure, "problem", None), getattr(failure, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{problem or 'not valid YAML'}"


def _read_settings(node: "Node", prefix: str, found: Content, faults: list[Wrong]) -> None:
    """The keys of the file, or those of one of its sections, which have its name as a prefix."""
    below = [key.removeprefix(prefix) for key in (*SETTINGS, RULES) if key.startswith(prefix)]
    known = dict.fromkeys(name.partition(".")[0] for name in below)
    for name, key_node, value in pairs(node, prefix[:-1] or "the file", known, faults, prefix):
        key = prefix + name
        if key == RULES:
            found.rules = rule_reader.read(value, faults)
        elif key in SETTINGS:
            found.places[key] = position(key_node)
            try:
                found.values[key] = read_value(key, value)
            except Wrong as wrong:
                faults.append(wrong)
        else:
            _read_settings(value, f"{key}.", found, faults)
