# SPDX-License-Identifier: MIT
"""A settings file in which every key that there is has another value than its default: a key that
is added later is in it too, and one of a new kind needs a line in SAMPLES."""

from pam_totp.records.config.reader import RULES, TABLE
from pam_totp.records.config.table import SETTINGS
from pam_totp.records.config.values import PLACEHOLDER

# By kind: a value as people write it.
SAMPLES = {
    "label": "Example",
    "duration": "90m",
    "services": "[sshd, cockpit]",
    "program": "/usr/local/sbin/send",
    "names": "[alice, '*-admin']",
    "service names": "[sshd, 'su*']",
    "networks": "[192.0.2.0/24, '2001:db8::/32', local]",
    "kind of key": "no",
    "methods": "[sms, totp]",
}


def _other_value(default: str, kind: str, *allowed: str) -> str:
    if kind in ("choice", "mode", "number"):
        return next(each for each in allowed if each != default)
    if kind == "message":
        return f"'Other: {' '.join(PLACEHOLDER.findall(default))}.'"
    return SAMPLES[kind]


def _file() -> str:
    sections: dict[str, list[str]] = {}
    for key, row in SETTINGS.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name}: {_other_value(*row)}")
    lines = sections.pop("")
    for section, entries in sections.items():
        lines += [f"{section}:", *(f"  {entry}" for entry in entries)]
    of_rule = {key.partition(".")[2]: row for key, row in TABLE.items() if key.startswith(RULES)}
    parts = [f"{key}: {_other_value(*row)}" for key, row in of_rule.items()]
    return "\n".join([*lines, "rules:", f"  - {{{', '.join(parts)}}}", ""])


EVERY_SETTING = _file()
