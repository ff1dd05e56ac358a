"""What each key of the settings file takes: the text of a YAML node to the value that is kept.

YAML's own idea of a value (yes and no, octal numbers, dates) is never asked: only texts count.
"""

import calendar
import difflib
import re
import time
from typing import TYPE_CHECKING

from pam_totp.rules.enrollment import BY, MODES
from pam_totp.rules.otp import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yaml import MappingNode, ScalarNode, SequenceNode

    Node = MappingNode | ScalarNode | SequenceNode

CHOICES: dict[str, tuple[str, ...]] = {
    "store": ("user", "system"),
    "enrollment_qr": ("both", "dark", "light", "off"),
    "code.digits": ("6", "7", "8"),
    "code.period": ("15", "30", "60"),
    "code.algorithm": tuple(ALGORITHMS),
}
RANGES = {
    "code.window": (0, 5),
    "throttle.free_tries": (1, 20),
    "throttle.first_wait": (1, 900),
    "throttle.longest_wait": (30, 900),
}
PLACEHOLDERS = {
    "messages.wait": ("seconds",),
    "messages.not_enrolled": (),
    "messages.deadline": ("date", "days"),
    "messages.enroll": (),
}
UNITS = {"m": 60, "h": 3600}
MAX_REMEMBERED_SECONDS = 24 * 3600
# A message of PAM has at most 512 bytes.
MAX_MESSAGE_BYTES = 400
MAX_ISSUER_CHARACTERS = 64
MAX_SHOWN_CHARACTERS = 60
NULL = "tag:yaml.org,2002:null"


class Wrong(ValueError):
    """What is wrong with a node of the file. Of `read_value` the message follows the key's name."""

    def __init__(self, node: "Node", message: str) -> None:
        super().__init__(message)
        self.node = node


def read_value(key: str, node: "Node") -> str:
    """The value as the snapshot keeps it. Raises Wrong."""
    if key == "enrollment":
        return _read_enrollment(node)
    if key == "enrollment_services":
        return _read_services(node)
    text = scalar(node)
    if key in CHOICES:
        for choice in CHOICES[key]:
            if choice in (text, text.upper()):  # sha1 is SHA1
                return choice
        raise Wrong(node, f"is {' or '.join(CHOICES[key])}, not {shown(node)}")
    if key in RANGES:
        least, most = RANGES[key]
        if text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most:
            return str(int(text))
        raise Wrong(node, f"is a number from {least} to {most}, not {shown(node)}")
    if key == "remember":
        return _read_remember(node)
    if key == "issuer":
        is_name = text.isprintable() and ":" not in text and len(text) <= MAX_ISSUER_CHARACTERS
        if is_name and node.id == "scalar" and node.tag != NULL:
            return text
        what = f"is at most {MAX_ISSUER_CHARACTERS} printable characters without a colon"
        raise Wrong(node, f"{what}, not {shown(node)}")
    return _read_message(key, node)


def _read_enrollment(node: "Node") -> str:
    """`optional`, or `{by: 2027-03-01}`, kept as "by" and the Unix time at which that day begins in
    UTC."""
    if node.id == "mapping" and [scalar(key) for key, _ in node.value] == [BY]:
        day = node.value[0][1]
        try:
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", scalar(day), re.ASCII):
                raise ValueError
            return f"{BY} {calendar.timegm(time.strptime(scalar(day), '%Y-%m-%d'))}"
        except ValueError:
            raise Wrong(day, f"by: takes a day like 2027-03-01, not {shown(day)}") from None
    if scalar(node) in MODES:
        return scalar(node)
    also = did_you_mean(scalar(node), MODES)
    raise Wrong(node, f"is {', '.join(MODES)} or {{by: 2027-03-01}}, not {shown(node)}{also}")


def _read_services(node: "Node") -> str:
    """A service or a list of them, kept in one line, as libpam has the names: in lower case."""
    entries = node.value if node.id == "sequence" else [node]
    for entry in entries:
        if not re.fullmatch(r"[\w.@+-]{1,255}", scalar(entry), re.ASCII):
            raise Wrong(entry, f"takes names of PAM services, not {shown(entry)}")
    return " ".join(dict.fromkeys(scalar(entry).lower() for entry in entries))


def _read_remember(node: "Node") -> str:
    text = scalar(node)
    if text == "off":
        return "0"
    found = re.fullmatch(r"([1-9][0-9]{0,3})([mh])", text, re.ASCII)
    if found and int(found[1]) * UNITS[found[2]] <= MAX_REMEMBERED_SECONDS:
        return str(int(found[1]) * UNITS[found[2]])
    raise Wrong(node, f"is off or a time like 10m or 2h, at most 24h, not {shown(node)}")


def _read_message(key: str, node: "Node") -> str:
    text = scalar(node)
    if not text.isprintable() or not text.strip() or len(text.encode()) > MAX_MESSAGE_BYTES:
        what = f"is one line of at most {MAX_MESSAGE_BYTES} bytes, without control characters"
        raise Wrong(node, f"{what}, not {shown(node)}")
    known = [f"{{{name}}}" for name in PLACEHOLDERS[key]]
    unknown = [name for name in re.findall(r"\{[^{}]*\}", text) if name not in known]
    if unknown:
        allowed = " and ".join(known) or "no placeholder"
        raise Wrong(node, f"takes {allowed}, not {' and '.join(unknown)}")
    return text


def scalar(node: "Node") -> str:
    """The text of a scalar; empty for a list, a mapping and null (which is also written ~)."""
    return node.value if node.id == "scalar" and node.tag != NULL else ""


def shown(node: "Node") -> str:
    """A value as faults quote it: printable, whatever it is, and not all of a long one."""
    if node.id != "scalar":
        return "a list" if node.id == "sequence" else "a mapping"
    is_long = len(node.value) > MAX_SHOWN_CHARACTERS
    return repr(f"{node.value[:MAX_SHOWN_CHARACTERS]}…" if is_long else node.value)


def shown_key(node: "Node", prefix: str = "") -> str:
    """A key as faults name it: in quotes only where it is no plain word."""
    text = shown(node)
    return prefix + (text[1:-1] if text[1:-1] == node.value else text)


def position(node: "Node") -> str:
    """Where it stands, for people."""
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def in_order(faults: "Iterable[Wrong]") -> list[str]:
    """Each with its place, in the file's order."""
    ordered = sorted(faults, key=lambda wrong: wrong.node.start_mark.index)
    return [f"{position(wrong.node)}: {wrong}" for wrong in ordered]


def did_you_mean(word: str, known: "Iterable[str]") -> str:
    """The nearest of the known words as the end of a fault; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
