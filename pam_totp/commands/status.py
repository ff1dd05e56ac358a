# SPDX-License-Identifier: MIT
"""`pam-totp status`: what is enrolled, and which services ask for a code."""

import argparse
import json
import os
import time
from typing import Any

from pam_totp.enrollment import closed_home
from pam_totp.enrollment.identity import own_account, secret_dir_of
from pam_totp.enrollment.terminal import describe_seconds
from pam_totp.errors import command
from pam_totp.listing import fit
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import Device, devices_of
from pam_totp.review import secret_file
from pam_totp.review.device_rows import describe
from pam_totp.rules.reasons import Failure
from pam_totp.stack import services

HELP = "show what is enrolled, and which services ask for codes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp status`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints what is enrolled. 0: no faults, also for "not enrolled"; 1: found faults, and what
    they hide is None."""
    account = own_account()
    secret_dir = secret_dir_of(account, command("devices", user=account.pw_name))
    path = f"{secret_dir.path}/{secret.NAME}"
    devices: list[Device] = []
    faults: list[str] = []
    enrolled = made = None
    try:
        content = secret_dir.read(secret.NAME)
        enrolled, _, faults = secret_file.judge(content, path)
        devices = devices_of(content)
    except Failure as failure:
        faults = [failure.detail]
    try:
        codes = recovery.read(secret_dir)
        made = len(codes[1]) if codes else 0
    except Failure as failure:
        faults += [failure.detail] if failure.detail not in faults else []
    faults += filter(None, [closed_home.fault_of(secret_dir)])
    found: dict[str, Any] = {
        "user": account.pw_name,
        "enrolled": enrolled,
        "secret_file": path,
        "since": _changed_at(path) if enrolled else None,
        "devices": [describe(device) for device in devices],
        "recovery_codes_made": made,
        "services_that_ask": services.that_ask(),
        "faults": faults,
    }
    print(json.dumps(found, indent=2) if options.json else fit(_as_text(found)))
    return 1 if faults else 0


def _changed_at(path: str) -> int | None:
    try:
        return int(os.stat(path).st_mtime)
    except OSError:
        return None


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


def _as_text(found: dict[str, Any]) -> str:
    if found["enrolled"] is False:
        lines = [f"{found['user']}: not enrolled; run: pam-totp enroll"]
        # Only root can see whether that is so.
        lines += ["  if you have ever logged in with a code, logins will be refused until you"]
        lines += ["  enroll again"]
    else:
        state = (
            f"enrolled since {_moment(found['since'])}"
            if found["enrolled"]
            else "enrollment unknown"
        )
        lines = [f"{found['user']}: {state}"]
        lines += [f"  {_of_device(each)}" for each in found["devices"]]
        lines += [f"  file {found['secret_file']}"]
        made = found["recovery_codes_made"]
        if made is not None:
            lines += [f"  {made} recovery codes were created" if made else "  no recovery codes"]
    asking = ", ".join(found["services_that_ask"]) or "none on this machine"
    lines += [f"  services that ask for a code: {asking}"]
    lines += [f"  fault: {fault}" for fault in found["faults"]]
    return "\n".join(lines)
