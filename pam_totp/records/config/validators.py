"""What each kind of setting takes: the text of a YAML node to the value that the snapshot keeps.

YAML's own idea of a value (yes and no, octal numbers, dates) is never asked: only texts count.
"""

import calendar
import difflib
import re
import time
from typing import TYPE_CHECKING

from pam_totp.records.config.table import SETTINGS
from pam_totp.rules.enrollment import BY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from yaml import MappingNode, ScalarNode, SequenceNode

    Node = MappingNode | ScalarNode | SequenceNode

MAX_MESSAGE_BYTES = 400  # a message of PAM has at most 512
MAX_SHOWN_CHARACTERS = 60
SERVICES = "the name of a PAM service, or a list of names"
SYNONYMS = {"true": "yes", "false": "no"}
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
NULL = "tag:yaml.org,2002:null"


class Wrong(ValueError):
    """What is wrong with a node of the file."""

    def __init__(self, node: "Node", message: str) -> None:
        super().__init__(message)
        self.node = node


def must_be(node: "Node", key: str, what: str, words: "Iterable[str]" = ()) -> Wrong:
    """The fault of a value that is something else; `words`: of which it may be a misspelling."""
    also = did_you_mean(scalar(node).lower(), words)
    return Wrong(node, f"{key} must be {what} (got {shown(node)}){also}")


def read_value(key: str, node: "Node") -> str:
    """The value of a setting. Raises Wrong."""
    default, kind, *allowed = SETTINGS[key]
    value = KINDS[kind][0](key, node, allowed or [default])
    if value is None:
        raise must_be(node, key, allowed_values(key))
    return value


def allowed_values(key: str) -> str:
    """What a value of this setting must be."""
    _default, kind, *allowed = SETTINGS[key]
    return KINDS[kind][1].format(*allowed, one_of=one_of(allowed))


def choice(key: str, node: "Node", words: "Sequence[str]", what: str = "") -> str:
    """One of the words, in any case; `what`: all that would be valid. Raises Wrong."""
    text = scalar(node).lower()
    for word in words:
        if word.lower() in (text, SYNONYMS.get(text)):
            return word
    raise must_be(node, key, what or one_of(words), words)


def _mode(key: str, node: "Node", allowed: list[str]) -> str:
    """A word, or `{by: 2027-03-01}`, kept as "by" and the Unix time of that day's start in UTC."""
    if node.id != "mapping" or [scalar(name) for name, _ in node.value] != [BY]:
        return choice(key, node, allowed, allowed_values(key))
    day = node.value[0][1]
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", scalar(day), re.ASCII):
            raise ValueError
        return f"{BY} {calendar.timegm(time.strptime(scalar(day), '%Y-%m-%d'))}"
    except ValueError:
        raise must_be(day, f"{key}: {BY}", "a date like 2027-03-01") from None


def _number(_key: str, node: "Node", allowed: list[str]) -> str | None:
    text = scalar(node)
    least, most = map(int, allowed)
    is_number = re.fullmatch("[0-9]{1,8}", text) and least <= int(text) <= most
    return str(int(text)) if is_number else None


def _services(key: str, node: "Node", _allowed: list[str]) -> str:
    """In one line, in lower case, as libpam does it."""
    for entry in entries(node):
        if not re.fullmatch(r"[\w.@+-]{1,255}", scalar(entry), re.ASCII):
            raise must_be(entry, key, SERVICES)
    return " ".join(dict.fromkeys(scalar(entry).lower() for entry in entries(node)))


def _duration(_key: str, node: "Node", allowed: list[str]) -> str | None:
    text = scalar(node)
    if text == "off":
        return "0"
    found = re.fullmatch("([1-9][0-9]{0,3})([mh])", text)
    seconds = int(found[1]) * {"m": 60, "h": 3600}[found[2]] if found else 0
    return str(seconds) if 0 < seconds <= int(allowed[0]) * 3600 else None


def _label(_key: str, node: "Node", allowed: list[str]) -> str | None:
    is_text = node.id == "scalar" and node.tag != NULL and scalar(node).isprintable()
    is_good = is_text and ":" not in scalar(node) and len(scalar(node)) <= int(allowed[0])
    return scalar(node) if is_good else None


def _message(key: str, node: "Node", allowed: list[str]) -> str | None:
    text = scalar(node)
    if not text.isprintable() or not text.strip() or len(text.encode()) > MAX_MESSAGE_BYTES:
        return None
    known = PLACEHOLDER.findall(allowed[0])
    for name in PLACEHOLDER.findall(text):
        if name not in known:
            can_be = " and ".join(known) or "none"
            raise Wrong(node, f"{key}: unknown placeholder {name} (allowed: {can_be})")
    return text


# Of each kind: what reads it, and what faults and the manual say that a value must be.
KINDS: "dict[str, tuple[Callable[[str, Node, list[str]], str | None], str]]" = {
    "choice": (choice, "{one_of}"),
    "mode": (_mode, "{one_of}, or {{by: 2027-03-01}}"),
    "number": (_number, "a number from {0} to {1}"),
    "services": (_services, SERVICES),
    "duration": (_duration, "off, or a time like 10m or 2h, at most {0}h"),
    "label": (_label, "at most {0} printable characters without a colon"),
    "message": (_message, f"one printable line of at most {MAX_MESSAGE_BYTES} bytes"),
}


def pairs(
    node: "Node", where: str, known: "Collection[str]", faults: list[Wrong], prefix: str = ""
) -> "Iterator[tuple[str, Node, Node]]":
    """The known keys of a mapping, with the nodes of key and value; anything else is a fault."""
    if node.id != "mapping":
        faults.append(Wrong(node, f"{where} must consist of KEY: VALUE pairs (got {shown(node)})"))
        return
    seen = set[str]()
    for key, value in node.value:
        if key.id != "scalar":  # its text may be as large as one likes
            faults.append(Wrong(key, f"a key must be a word (got {shown(key)})"))
            continue
        quoted = shown(key)
        name = prefix + (key.value if quoted[1:-1] == key.value else quoted)
        if key.value in seen:
            faults.append(Wrong(key, f"duplicate key {name}"))
        elif key.value in known:
            yield key.value, key, value
        else:
            faults.append(Wrong(key, f"unknown key {name}{_meant(key.value, known, prefix)}"))
        seen.add(key.value)


def _meant(name: str, known: "Collection[str]", prefix: str) -> str:
    """What an unknown key may stand for: a similar one, or one that belongs below another."""
    near = did_you_mean(name, known, prefix)
    for key in SETTINGS:
        section, _, leaf = key.rpartition(".")
        if section and (name == key or (name == leaf and not near)):
            return f"; did you mean {section}: {{{leaf}: …}}?"
    return near or f" (known here: {', '.join(known)})"


def scalar(node: "Node") -> str:
    """The text of a scalar; empty for a list, a mapping and null (which is also written ~)."""
    return node.value if node.id == "scalar" and node.tag != NULL else ""


def entries(node: "Node") -> "list[Node]":
    """The entries of a list; anything else is a list of one."""
    return node.value if node.id == "sequence" else [node]


def shown(node: "Node") -> str:
    """A value as faults quote it: printable, whatever it is, and not all of a long one."""
    if node.id != "scalar":
        return "a list" if node.id == "sequence" else "a mapping"
    is_long = len(node.value) > MAX_SHOWN_CHARACTERS
    return repr(f"{node.value[:MAX_SHOWN_CHARACTERS]}…" if is_long else node.value)


def position(node: "Node") -> str:
    """Where it stands, for people."""
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def one_of(words: "Sequence[str]") -> str:
    """The words as a choice: `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), *words[-1:]])


def did_you_mean(word: str, known: "Iterable[str]", prefix: str = "") -> str:
    """The most similar of the known words as the end of a fault; empty if none is similar."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
