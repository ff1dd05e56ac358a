# SPDX-License-Identifier: MIT
"""`pam-totp status`: what is enrolled, and which services ask for a code."""

import argparse
import json
import os
import pwd
import time
from typing import Any

from pam_totp.contacts.shown import as_lines, as_rows
from pam_totp.enrollment import closed_home
from pam_totp.enrollment.identity import account_of, secret_dir_of
from pam_totp.enrollment.terminal import describe_seconds
from pam_totp.errors import command
from pam_totp.fleet import login_host
from pam_totp.listing import counted, fit
from pam_totp.records import fleet, fleet_of_commands
from pam_totp.records.config import settings
from pam_totp.records.user import contacts, secret
from pam_totp.review import one_home
from pam_totp.review.sent_codes import accepted_for
from pam_totp.review.user_row import told
from pam_totp.rules.reasons import Failure
from pam_totp.stack import services

HELP = "show what is enrolled, and which services ask for codes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp status`."""
    parser.add_argument("--user", metavar="USER", help="root only: of this user")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints what is enrolled. 0: no faults, also for "not enrolled"; 1: found faults, and what
    they hide is None."""
    account = account_of(options.user)
    found = _of_fleet(account) if login_host.is_this() else _of_host(account)
    print(json.dumps(found, indent=2) if options.json else fit(_as_text(found, options.user)))
    return 1 if found["faults"] else 0


def _of_host(account: pwd.struct_passwd) -> dict[str, Any]:
    secret_dir = secret_dir_of(account, command("devices", user=account.pw_name))
    found: dict[str, Any] = {"user": account.pw_name, "enrolled": None}
    found |= {"secret_file": f"{secret_dir.path}/{secret.NAME}", "since": None, "devices": []}
    found |= {"recovery_codes_made": None, "contacts": None}
    found |= {"services_that_ask": services.that_ask()}
    found |= one_home.secret_of(secret_dir, closed_home.fault_of)
    found["contacts"] = _contacts_of(account, found["faults"])
    return found | one_home.in_place_of_codes(account, found["faults"])


def _contacts_of(account: pwd.struct_passwd, faults: list[str]) -> list[dict[str, Any]] | None:
    """Where codes are sent; None if only root can know."""
    if os.geteuid() != 0:
        return None
    try:
        return as_rows(contacts.read(account))
    except Failure as failure:
        faults.append(told(failure.detail, account))
        return None


def _of_fleet(account: pwd.struct_passwd) -> dict[str, Any]:
    """What the store says of the user. It does not tell which devices, and since when."""
    name, faults = account.pw_name, list[str]()
    found: dict[str, Any] = {"user": name, "enrolled": None, "secret_file": None, "since": None}
    found |= {"devices": None, "recovery_codes_made": None}
    found |= {"contacts": _contacts_of(account, faults)}
    found |= {"devices_enrolled": None, "recovery_codes_left": None, "waiting_seconds": None}
    try:
        (standing,) = fleet_of_commands.standings([name])
        found |= {"devices_enrolled": standing.devices, "waiting_seconds": standing.wait_seconds}
        found |= {"recovery_codes_left": standing.recovery_left}
        if standing.state == fleet.DISBELIEVED:
            faults.append("the store of the fleet is older than one that this host has seen")
        else:
            found["enrolled"] = standing.state == fleet.ENROLLED
    except Failure as failure:
        faults.append(f"the store of the fleet cannot be asked: {failure.detail}")
    found |= {"services_that_ask": services.that_ask(), "faults": faults}
    return found | one_home.in_place_of_codes(account, faults)


def _fleet_lines(found: dict[str, Any]) -> list[str]:
    devices, codes = found["devices_enrolled"], found["recovery_codes_left"]
    lines = [f"  {counted(devices, 'device')}, {counted(codes, 'recovery code')} left"]
    if found["waiting_seconds"]:
        lines.append(f"  waiting: {found['waiting_seconds']} s after incorrect codes")
    return lines


def _moment(seconds: int | None) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else "?"
    except (OverflowError, OSError, ValueError):
        return "?"  # users can set any time on their files


def _of_device(row: dict[str, Any]) -> str:
    text = "device {device!r}: {account!r}, {algorithm}, {digits} digits, ".format(**row)
    if "counter" in row:
        return text + f"by counter, from {row['counter']} on"
    text += f"{row['period']} s"
    seconds = row.get("offset_seconds", 0)
    if seconds:
        direction = "ahead" if seconds > 0 else "behind"
        text += f", its clock is {describe_seconds(abs(seconds))} {direction}"
    return text


def _not_enrolled(found: dict[str, Any], user: str | None, kinds: tuple[str, ...]) -> list[str]:
    """Of a user without a secret, to whom codes of these kinds may be sent."""
    known = found["contacts"] or ()
    if any(each["kind"] in kinds and each["confirmed"] for each in known):
        return [f"{found['user']}: no device; logs in with codes that are sent"]
    is_of_fleet = found["secret_file"] is None
    with_it = ", with an invitation from your administrator" if is_of_fleet else ""
    lines = [f"{found['user']}: not enrolled; run{with_it}: {command('enroll', user=user)}"]
    # Only root can see whether either is so.
    unless = "" if found["contacts"] is not None or not kinds else ", unless codes are sent to you"
    what = "if you have ever logged in with a code, logins will be refused until you enroll again"
    return [*lines, f"  {what}{unless}"]


def _as_text(found: dict[str, Any], user: str | None) -> str:
    is_of_fleet = found["secret_file"] is None
    kinds = accepted_for(found["user"], settings.load())
    if found["enrolled"] is False:
        lines = _not_enrolled(found, user, kinds)
    else:
        since = "" if is_of_fleet else f" since {_moment(found['since'])}"
        state = f"enrolled{since}" if found["enrolled"] else "enrollment unknown"
        lines = [f"{found['user']}: {state}{' in the fleet' if is_of_fleet else ''}"]
        lines += [f"  {_of_device(each)}" for each in found["devices"] or ()]
        lines += [] if is_of_fleet else [f"  file {found['secret_file']}"]
        made = found["recovery_codes_made"]
        if made is not None:
            codes = f"{counted(made, 'recovery code')} created"
            lines += [f"  {codes}" if made else "  no recovery codes"]
    if found.get("contacts"):
        lines += ["  codes can be sent to:", *(f"  {line}" for line in as_lines(found["contacts"]))]
    elif kinds and os.geteuid() != 0:
        lines += ["  codes may be sent to you, and only root can see where; ask root to run:"]
        lines += [f"  {command('contact', found['user'])}"]
    if found["in_place_of_codes"]:
        lines += [f"  in place of a code: {', '.join(found['in_place_of_codes'])}"]
    if found.get("devices_enrolled") is not None:
        lines += _fleet_lines(found)
    asking = ", ".join(found["services_that_ask"]) or "none on this machine"
    lines += [f"  services that ask for a code: {asking}"]
    lines += [f"  fault: {fault}" for fault in found["faults"]]
    return "\n".join(lines)
