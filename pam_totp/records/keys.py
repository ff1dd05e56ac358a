"""What each key of the settings file takes: the text of a YAML node to the value that is kept.

YAML's own idea of a value (yes and no, octal numbers, dates) is never asked: only texts count.
"""

import calendar
import difflib
import re
import time
from typing import TYPE_CHECKING

from pam_totp.rules.decision import BY, DAY_SECONDS, MODES
from pam_totp.rules.otp import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yaml import MappingNode, ScalarNode, SequenceNode

    Node = MappingNode | ScalarNode | SequenceNode

CHOICES: dict[str, tuple[str, ...]] = {
    "store": ("user", "system"),
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
MOST_REMEMBERED_SECONDS = 24 * 3600
# A message of PAM has at most 512 bytes.
MOST_MESSAGE_BYTES = 400
MOST_ISSUER_CHARACTERS = 64


class Wrong(ValueError):
    """A value that a key does not take; the message follows the key's name."""

    def __init__(self, node: "Node", message: str) -> None:
        super().__init__(message)
        self.node = node


def read_value(key: str, node: "Node") -> str:
    """The value as the snapshot keeps it. Raises Wrong."""
    if key == "enrollment":
        return _read_enrollment(node)
    text = scalar(node)
    if key in CHOICES:
        for choice in CHOICES[key]:
            if text.upper() == choice.upper():
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
        is_name = text.isprintable() and ":" not in text and len(text) <= MOST_ISSUER_CHARACTERS
        if is_name and node.id == "scalar":
            return text
        what = f"is at most {MOST_ISSUER_CHARACTERS} printable characters without a colon"
        raise Wrong(node, f"{what}, not {shown(node)}")
    return _read_message(key, node)


def _read_enrollment(node: "Node") -> str:
    """`optional`, or `{by: 2027-03-01}`, kept as "by" and the Unix time at which that day begins in
    UTC."""
    if node.id == "mapping":
        entries = [(scalar(key), value) for key, value in node.value]
        if [name for name, _ in entries] == [BY]:
            text = scalar(entries[0][1])
            try:
                if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
                    raise ValueError
                day = calendar.timegm(time.strptime(text, "%Y-%m-%d"))
            except ValueError:
                raise Wrong(
                    entries[0][1], f"by: takes a day like 2027-03-01, not {text!r}"
                ) from None
            return f"{BY} {day}"
    elif scalar(node) in MODES:
        return scalar(node)
    raise Wrong(node, f"is {', '.join(MODES)} or by: DATE, not {shown(node)}")


def _read_remember(node: "Node") -> str:
    text = scalar(node)
    if text == "off":
        return "0"
    found = re.fullmatch(r"([1-9][0-9]{0,3})([mh])", text, re.ASCII)
    if found and int(found[1]) * UNITS[found[2]] <= MOST_REMEMBERED_SECONDS:
        return str(int(found[1]) * UNITS[found[2]])
    raise Wrong(node, f"is off or a time like 10m or 2h, at most 24h, not {shown(node)}")


def _read_message(key: str, node: "Node") -> str:
    text = scalar(node)
    if not text.isprintable() or not text.strip() or len(text.encode()) > MOST_MESSAGE_BYTES:
        what = f"is one line of at most {MOST_MESSAGE_BYTES} bytes, without control characters"
        raise Wrong(node, f"{what}, not {shown(node)}")
    known = PLACEHOLDERS[key]
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in known:
            allowed = ", ".join(f"{{{each}}}" for each in known) or "no placeholder"
            raise Wrong(node, f"takes {allowed}, not {{{name}}}")
    return text


def scalar(node: "Node") -> str:
    """The text of a scalar; empty for a list or a mapping."""
    return node.value if node.id == "scalar" else ""


def shown(node: "Node") -> str:
    """A value as faults quote it."""
    return repr(node.value) if node.id == "scalar" else f"a {node.id}"


def place(node: "Node") -> str:
    """Where it stands, for people."""
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def did_you_mean(word: str, known: "Iterable[str]") -> str:
    """The nearest of the known words as the end of a fault; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def days(seconds: int) -> str:
    """The day that a Unix time lies in, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds - seconds % DAY_SECONDS))
