# SPDX-License-Identifier: MIT
"""What `pam-totp explain --fleet` says about a user: what the store knows, and what it tells the
login hosts. Pure."""

from typing import Any

from pam_totp.errors import printable
from pam_totp.fleet import people
from pam_totp.fleet.people import Person
from pam_totp.listing import moment

_TOLD = {
    people.ENROLLED: "enrolled, so a code is asked for unless a rule or a grant exempts the user",
    people.NOT_ENROLLED: "not enrolled; refused by hosts where the user has logged in with a code",
    people.RESET: "not enrolled; that the user has logged in with a code no longer counts",
}
_LOCAL = "Rules, grants and remembered codes are those of each host. To see them, run there:"


def row_of(person: Person) -> dict[str, Any]:
    """As `pam-totp users` lists it. Grants are of hosts, and so are user ids."""
    row: dict[str, Any] = {"user": person.name, "uid": None}
    is_unproved = person.state == people.ENROLLED and person.last_code_at is None
    row |= {
        "enrolled": person.state == people.ENROLLED,
        "factors": None,  # contacts, keys and fingers are of hosts, too
        "unconfirmed_contacts": [],
        # One who was moved from a host may have logged in with a code there.
        "unconfirmed": None if is_unproved else False,
        "devices": person.devices,
    }
    row |= {"since": person.since, "last_code_at": person.last_code_at}
    row |= {"recovery_codes_left": person.recovery_left, "waiting_seconds": person.waiting_seconds}
    row |= {"granted_until": None, "granted_once": False, "fault": ""}
    reset_at = person.reset_at if person.state == people.RESET else None
    return row | {"invited_until": person.invitation_until, "reset_at": reset_at}


def describe(name: str, person: Person | None) -> dict[str, Any]:
    """As `--json` prints it; person: None if the store does not know the name."""
    is_known = person is not None
    person = person or Person(
        name=name,
        state=people.NOT_ENROLLED,
        devices=[],
        since=None,
        last_code_at=None,
        recovery_left=0,
        waiting_seconds=0,
        invitation_until=None,
        reset_at=None,
    )
    told = {"state": person.state, "waiting_seconds": person.waiting_seconds}
    return {"known": is_known, **row_of(person), "told_to_hosts": told}


def as_text(found: dict[str, Any]) -> str:
    """The same as text."""
    state, name = found["told_to_hosts"]["state"], printable(found["user"])
    waiting = found["waiting_seconds"]
    lines = [f"{name}, in the store: {state if found['known'] else 'unknown'}"]
    if found["enrolled"]:
        devices = ", ".join(printable(each) for each in found["devices"])
        lines.append(f"  devices: {devices}, since {moment(found['since'])} UTC")
        lines.append(f"  last code: {moment(found['last_code_at'])} UTC, at any host")
        lines.append(f"  recovery codes left: {found['recovery_codes_left']}")
    if found["reset_at"]:
        lines.append(f"  reset: {moment(found['reset_at'])} UTC")
    if found["invited_until"]:
        lines.append(f"  invitation: until {moment(found['invited_until'])} UTC")
    lines.append(f"  waiting after incorrect codes: {f'{waiting} s' if waiting else 'no'}")
    lines.append(f"  hosts are told: {_TOLD[state]}")
    return "\n".join([*lines, _LOCAL, f"  pam-totp explain {name}"])
