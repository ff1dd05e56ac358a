# SPDX-License-Identifier: MIT
"""All faults of a settings file, explained, for `pam-totp config check`.

A login stops at the first one. Here that is taken out of the file's nodes, and the rest is read
again as a login would, so that both always agree.
"""

from collections.abc import Iterator
from typing import NamedTuple

import yaml

from pam_totp.records.config import reader
from pam_totp.records.config.reader import RULES, Node
from pam_totp.records.config.table import DEFAULTS, SETTINGS
from pam_totp.review.settings_hints import explain
from pam_totp.rules.encoding import encode
from pam_totp.rules.enrollment import BY
from pam_totp.rules.policy import CODES, Rule

MAX_FAULTS = 100
# What takes the place of a wrong value whose key must not be missing.
GOOD = {f"{RULES}.code": CODES[0], f"enrollment.{BY}": "2027-03-01"}


class Checked:
    """What a file says. values: over the defaults, by the keys of DEFAULTS; rules: in their order;
    positions: line and column of the keys that the file gives; faults: what is wrong, in the file's
    order; if there are any, the rest is not all that the file says."""

    def __init__(self) -> None:
        self.values = DEFAULTS
        self.rules: list[Rule] = []
        self.positions: dict[str, str] = {}
        self.faults: list[str] = []


class Found(NamedTuple):
    """A node. key: its name in TABLE (or a section); entry: of its parent, the node
    itself or the pair of key and value in which it is."""

    node: Node
    key: str
    parent: Node
    entry: Node
    is_key: bool


def check(content: bytes) -> Checked:
    """What the bytes of a file say."""
    checked = Checked()
    try:
        root = reader.compose(content)
    except reader.FAULTS as failure:
        checked.faults = [_position_in_text(failure, content) + reader.sentence(failure)]
        return checked
    for key in _nodes(root):
        if key.is_key and key.key in SETTINGS:
            checked.positions[key.key] = reader.position(key.node.start_mark)
    faults: list[tuple[int, str]] = []
    try:
        checked.values, checked.rules = reader.parse(root)
        encode(checked.rules)
    except yaml.MarkedYAMLError as failure:
        root = _take_out(root, failure, faults)  # what a login says
        # Each rule alone, since reading all of them anew for each fault would take minutes.
        for rules in [each for each in _nodes(root) if each.key == RULES and not each.is_key]:
            if rules.parent is root and rules.node.id == "sequence":
                rules.node.value = list(_good_rules(rules, faults))
        _take_out_faults(root, faults)
    except ValueError as failure:
        faults = [(len(content), str(failure))]
    checked.faults = [fault for _, fault in sorted(faults, key=lambda each: each[0])]
    if len(faults) >= MAX_FAULTS:
        checked.faults.append(f"there may be more faults than these {MAX_FAULTS}")
    return checked


def _good_rules(rules: Found, faults: list[tuple[int, str]]) -> Iterator[Node]:
    """The rules without what is wrong with each."""
    marks = rules.node.start_mark, rules.node.end_mark
    for node in rules.node.value:
        alone = yaml.SequenceNode("", [node], *marks)
        file = yaml.MappingNode("", [(rules.entry[0], alone)], *marks)
        _take_out_faults(file, faults)
        yield from alone.value


def _take_out_faults(root: Node, faults: list[tuple[int, str]]) -> None:
    """Changes the nodes so that a login would read them; each fault is added to the others, with
    its index."""
    while len(faults) < MAX_FAULTS:
        try:
            reader.parse(root)
            break
        except yaml.MarkedYAMLError as failure:
            root = _take_out(root, failure, faults)


def _take_out(root: Node, failure: yaml.MarkedYAMLError, faults: list[tuple[int, str]]) -> Node:
    found = _find(root, failure.problem_mark)
    problem = explain(found.node, found.key, found.is_key, str(failure.problem))
    sentence = reader.sentence(reader.fault(found.node, problem))
    faults.append((found.node.start_mark.index, sentence))
    return _without(root, found)


def _nodes(node: Node, key: str = "") -> Iterator[Found]:
    """All nodes below one, in their order; below a key that is no word, there are none."""
    if node is None or node.id == "scalar":
        return
    for entry in node.value:
        if node.id == "sequence":
            yield Found(entry, key, node, entry, False)
            yield from _nodes(entry, key)
            continue
        name, value = entry
        below = f"{key}.{name.value}" if key else str(name.value)
        yield Found(name, below, node, entry, True)
        yield Found(value, below, node, entry, False)
        yield from _nodes(value, below)


def _find(root: Node, mark: yaml.Mark | None) -> Found:
    for found in _nodes(root):
        if found.node.start_mark is mark:
            return found
    return Found(root, "", None, root, False)


def _without(root: Node, found: Found) -> Node:
    """The nodes without what is wrong, so that no other fault comes of it."""
    if found.parent is None:
        return None
    if found.key in GOOD and not found.is_key:
        name, _ = found.entry
        good = yaml.ScalarNode("", GOOD[found.key], found.node.start_mark, found.node.end_mark)
        found.parent.value[found.parent.value.index(found.entry)] = (name, good)
        return root
    found.parent.value.remove(found.entry)
    is_rule = found.parent.id == "mapping" and found.key.startswith(f"{RULES}.")
    if found.parent.value or is_rule:
        return root
    return _without(root, _find(root, found.parent.start_mark))


def _position_in_text(failure: Exception, content: bytes) -> str:
    """Of bytes that are no text, PyYAML says only how many stand before them."""
    if not isinstance(failure, yaml.reader.ReaderError):
        return ""
    is_decoded = failure.encoding != "utf-8"
    before = (content if is_decoded else content[: failure.position]).decode(errors="replace")
    lines = before[: failure.position].split("\n")
    return f"line {len(lines)}, column {len(lines[-1]) + 1}: "
