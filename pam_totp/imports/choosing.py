# SPDX-License-Identifier: MIT
"""Which entries of an export are meant. Pure.

- Nothing MUST be taken that was not named, unless there is one entry alone: the export of an app is
  of a whole life, and the codes of another site would be accepted at logins here.
"""

from pam_totp.imports.found import Entry, Unusable

MAX_LISTED = 20


def choose(entries: list[Entry], wanted: list[str]) -> list[Entry]:
    """The entries of these numbers, from 1 on, or names; without any, the only one. Raises
    Unusable."""
    if not entries:
        raise Unusable("the file has no entry")
    if not wanted and len(entries) == 1:
        return entries
    if not wanted:
        raise Unusable(f"choose one of {len(entries)} entries: {_listed(entries)}", "--entry=1")
    chosen: list[Entry] = []
    for word in wanted:
        found = [each for at, each in enumerate(entries, 1) if word in (str(at), each.name)]
        if len(found) != 1:
            matches = "more than one" if found else "none"
            what = f"{matches} of {len(entries)} entries is {word!r}: {_listed(entries)}"
            raise Unusable(what, "--entry=1")
        chosen += [each for each in found if each not in chosen]
    return chosen


def _listed(entries: list[Entry]) -> str:
    names = [f"{at} {each.name}" for at, each in enumerate(entries, 1)]
    more = f", and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
