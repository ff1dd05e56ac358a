# SPDX-License-Identifier: MIT
"""What an import says of each user. No secret and no code is in it."""

import json
import sys
from collections import Counter
from typing import Any

from pam_totp.enrollment.import_row import FAULT, IMPORTED, OTHERWISE, PLANNED, UNCHANGED
from pam_totp.errors import Error, again, command, printable
from pam_totp.listing import fit

ALL = "--all"
MAX_NAMED = 3  # users in the error, before the rest is only counted
_SUMMARY = {
    IMPORTED: "imported",
    PLANNED: "would be imported",
    UNCHANGED: "enrolled with the same secret already",
    OTHERWISE: OTHERWISE,
    FAULT: "cannot be imported",
}


def print_report(rows: list[dict[str, Any]], *, is_applied: bool, as_json: bool) -> None:
    """Prints it. Raises Error if there are faults."""
    counts = Counter(row["outcome"] for row in rows)
    if as_json:
        shown = [{key: value for key, value in row.items() if key != "hint"} for row in rows]
        found = {"changed": bool(counts[IMPORTED]), "applied": is_applied, "users": shown}
        print(json.dumps(found, indent=2))
    else:
        for row in rows:
            print(fit("\n".join(_lines(row))))
        parts = [f"{counts[each]} {words}" for each, words in _SUMMARY.items() if counts[each]]
        print(fit(f"Users: {', '.join(parts) or 'none'}."))
        if counts[PLANNED]:
            print(f"Nothing was changed. To import, run:\n  {again('--apply')}")
    faulty = [row for row in rows if row["fault"]]
    if faulty:
        raise error_of(faulty, {row["user"] for row in rows}, is_applied=is_applied)


def _lines(row: dict[str, Any]) -> list[str]:
    kinds = ", ".join(kind_of(each) for each in row["credentials"])
    outcome = f"{row['outcome']}: {row['fault']}" if row["fault"] else row["outcome"]
    lines = [f"{printable(row['user'])}: {printable(outcome)}{f' ({kinds})' if kinds else ''}"]
    width = max((len(each["option"]) for each in row["options"]), default=0)
    return lines + [
        f"  {each['option'].ljust(width)}  {printable(each['becomes'])}" for each in row["options"]
    ]


def kind_of(credential: dict[str, Any]) -> str:
    """A credential, as `told` of import_row has it, in a few words."""
    words = [credential["type"].upper(), f"{credential['digits']} digits"]
    words += [f"{credential['period']} s"] if "period" in credential else []
    words += [credential["algorithm"]] if credential["algorithm"] != "SHA1" else []
    return " ".join(words)


def _for_one(option: str, user: str, others: set[str]) -> str:
    """This command with one more option, for one of the users alone: to others it may do what it
    should not. Where that one cannot be named, what lets the same command enroll the user."""
    verb, words = sys.argv[1:3], sys.argv[3:]
    words = [user if word == ALL else word for word in words if word not in others]
    return again(option, words=verb + words) if user in words else command("reset", user)


def error_of(faulty: list[dict[str, Any]], users: set[str], *, is_applied: bool) -> Error:
    """The error of the rows with a fault. users: all who were to be imported."""
    named = "; ".join(f"{row['user']}: {row['fault']}" for row in faulty[:MAX_NAMED])
    more = f"; and {len(faulty) - MAX_NAMED} more" if len(faulty) > MAX_NAMED else ""
    told = next((row for row in faulty if row["hint"]), faulty[0])
    hint = told["hint"] or command("enroll", user=told["user"])
    if hint.startswith("--"):
        hint = _for_one(hint, told["user"], users - {told["user"]})
    what = "was" if is_applied else "can be"
    return Error(f"not everything {what} imported: {named}{more}", hint)


def whole_hint(hint: str) -> str:
    """A hint that is an option, as this command with it. An entry is the first one of the file, as
    an example: it replaces those that were named, and is only shown."""
    if hint.startswith("--entry="):
        return again(hint, words=_without_choice(sys.argv[1:]))
    return again(hint) if hint.startswith("--") else hint


def _without_choice(words: list[str]) -> list[str]:
    """Without entries and --apply."""
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if word == "--":  # behind it all are names
            return [*kept, word, *following]
        if word == "--entry":
            next(following, None)  # its value
        elif word != "--apply" and not word.startswith("--entry="):
            kept.append(word)
    return kept
