# SPDX-License-Identifier: MIT
"""Whom sudo lets run commands without asking PAM, as its own cvtsudoers reads /etc/sudoers.

Rules that a directory has (`sudoers: sss`) are not among them.
"""

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

from pam_totp.stack.libpam import Unknown

CVTSUDOERS = "/usr/bin/cvtsudoers"
MAX_SECONDS = 5
ALL = "ALL"
# How an entry names people; an entry of another kind may be anybody.
PEOPLE = {
    "username": "{}",
    "usergroup": "members of {}",
    "userid": "user id {}",
    "usergid": "members of group id {}",
    "netgroup": "members of netgroup {}",
    "nonunixgroup": "members of {}",
}


@dataclasses.dataclass(frozen=True)
class NotAsked:
    """who: in words, empty for everybody; how: the words of sudoers that say so."""

    who: str
    how: str


def not_asked() -> list[NotAsked]:
    """By the sudoers of this machine; nobody without sudo. Raises Unknown."""
    if not os.path.exists(CVTSUDOERS):
        return []
    try:
        told = subprocess.run(
            [CVTSUDOERS, "-e", "-f", "json", "/etc/sudoers"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
        )
        if told.returncode != 0:
            raise Unknown(f"cvtsudoers: {' '.join(told.stderr.split())}")
        return list(dict.fromkeys(in_json(json.loads(told.stdout or "{}"))))
    except (OSError, subprocess.TimeoutExpired, ValueError) as failure:
        raise Unknown(f"cvtsudoers: {failure}") from None


def in_json(sudoers: dict[str, Any]) -> Iterator[NotAsked]:
    """What cvtsudoers prints. A rule that a later one overrides is one, too."""
    for default in sudoers.get("Defaults", []):
        if _asks_nobody(default):
            for who in _people(default.get("Binding", [{"username": ALL}])):
                yield NotAsked(who, "!authenticate in sudoers")
    for spec in sudoers.get("User_Specs", []):
        for each in spec.get("Cmnd_Specs", []):
            if _asks_nobody(each):
                commands = [str(one.get("command")) for one in each.get("Commands", [])]
                some = "" if ALL in commands else f" for {', '.join(commands)}"
                for who in _people(spec.get("User_List", [])):
                    yield NotAsked(who, f"NOPASSWD in sudoers{some}")


def _asks_nobody(entry: dict[str, Any]) -> bool:
    return any(option.get("authenticate") is False for option in entry.get("Options", []))


def _people(entries: list[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        if entry.get("negated"):
            continue
        named = [text.format(entry[kind]) for kind, text in PEOPLE.items() if kind in entry]
        yield "" if not named or entry.get("username") == ALL else named[0]
