# SPDX-License-Identifier: MIT
"""Contacts as commands show them to root: whole, since root can read the record."""

from typing import Any

from pam_totp.contacts.changing import Contacts
from pam_totp.listing import moment


def as_rows(found: Contacts) -> list[dict[str, Any]]:
    """As JSON: an unconfirmed one has no time."""
    return [
        {"kind": kind, "address": each.address, "confirmed": each.confirmed or None}
        for kind, each in found.items()
    ]


def as_lines(found: list[dict[str, Any]]) -> list[str]:
    """Of such rows, for people."""
    return [f"  {each['kind']}: {each['address']} ({_state(each['confirmed'])})" for each in found]


def _state(confirmed: int | None) -> str:
    if confirmed:
        return f"confirmed {moment(confirmed)} UTC"
    return "unconfirmed: used only where a code is required"
