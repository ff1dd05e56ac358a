# SPDX-License-Identifier: MIT
"""The active settings as the text of a settings file, for one that was lost. Comments are not in
it, nor what is as it would be without a file.

- The text MUST mean the very settings: it is read again, and refused if it does not.
"""

import ipaddress
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from pam_totp.records.config.settings import Settings
from pam_totp.records.config.table import DEFAULTS, SETTINGS
from pam_totp.review.open_to import policy_of
from pam_totp.rules.encoding import encode
from pam_totp.rules.enrollment import BY
from pam_totp.rules.policy import LOCAL, Rule

FIRST_LINE = "# Written by `pam-totp config restore`, from the last good settings."
_OF_RULE = {
    "user": "users",
    "group": "groups",
    "service": "services",
    "from": "sources",
    "methods": "methods",
}


def text_of(active: Settings) -> str:
    """The whole file. Raises ValueError where no file means these settings."""
    rules = list(policy_of(active).rules)
    changed = {key: value for key, value in active.values.items() if value != DEFAULTS[key]}
    lines, sections = [FIRST_LINE], dict[str, list[str]]()
    for key, value in changed.items():
        section, _, name = key.rpartition(".")
        shown = f"{name}: {_value(SETTINGS[key][1], value)}"
        if section:
            sections.setdefault(section, []).append(shown)
        else:
            lines.append(shown)
    for section, entries in sections.items():
        lines += [f"{section}:", *(f"  {each}" for each in entries)]
    lines += ["rules:", *map(_rule, rules)] if rules else []
    text = "\n".join([*lines, ""])
    if not _means(text, active.values, rules):
        raise ValueError("no settings file means the active settings")
    return text


def _value(kind: str, value: str) -> str:
    if kind == "mode" and value.startswith(f"{BY} "):
        day = datetime.fromtimestamp(int(value.partition(" ")[2]), UTC)
        return f"{{{BY}: {day:%Y-%m-%d}}}"
    if kind == "duration":
        seconds = int(value)
        return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds // 60}m"
    return _list(value.split()) if kind == "services" else _quoted(value)


def _rule(rule: Rule) -> str:
    """One line of the list."""
    parts = [
        f"{key}: {_list(_source(each) if key == 'from' else each for each in getattr(rule, name))}"
        for key, name in _OF_RULE.items()
        if getattr(rule, name) != getattr(Rule, name)
    ]
    parts += [f"publickey: {rule.publickey}"] if rule.publickey else []
    return f"  - {{{', '.join([*parts, f'code: {rule.code}'])}}}"


def _source(network: str) -> str:
    if network == LOCAL:
        return LOCAL
    first, _, prefix = network.partition("/")
    return f"{ipaddress.ip_address(bytes.fromhex(first))}/{prefix}"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    """YAML's double quotes are those of JSON; a word needs none."""
    is_word = text.isascii() and text.isalpha() and text.lower() != "null"
    return text if is_word else json.dumps(text, ensure_ascii=False)


def _means(text: str, values: dict[str, str], rules: list[Rule]) -> bool:
    """Whether the text is read as these values and rules, wherever the lines of the rules are."""
    from pam_totp.records.config.reader import FAULTS, compose, parse  # PyYAML may be missing

    try:
        then_values, then_rules = parse(compose(text.encode()))
    except FAULTS:
        return False
    return then_values == values and _unplaced(then_rules) == _unplaced(rules)


def _unplaced(rules: list[Rule]) -> bytes:
    return encode([Rule(**vars(each) | {"line": 0}) for each in rules])
