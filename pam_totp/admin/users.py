"""`pam-totp users`: who is enrolled, since when, and what stands in somebody's way."""

import argparse
import json
import os
import pwd
import sys
import time
from collections.abc import Callable
from typing import Any

from pam_totp.admin.configuration import fault_of
from pam_totp.admin.visited import Visited
from pam_totp.fault import Fault
from pam_totp.records import attempts, durable, grant, mark, recovery, secret, settings
from pam_totp.records.place import Place, stores_of
from pam_totp.rules.refusal import Refused
from pam_totp.rules.throttle import wait_seconds, whole_seconds

COLUMNS = (
    *("user", "enrolled", "since (UTC)", "last code (UTC)"),
    *("recovery", "waiting", "grant until (UTC)", "fault"),
)


def users(options: argparse.Namespace) -> int:
    """Prints everybody who is enrolled, marked, waiting, granted or faulty. 1: found faults, those
    of the settings included."""
    if os.geteuid() != 0:
        raise Fault("this is for root", "sudo pam-totp users")
    try:
        records = {kind: _names(kind) for kind in (mark.KIND, grant.KIND, recovery.KIND)}
    except Refused as refused:
        raise Fault(refused.detail, f"ls -ld {durable.FOLDER}") from None
    configured = settings.load()
    fault = fault_of(configured)
    if fault:
        print(f"pam-totp: fault: {fault}\nhint: pam-totp config check", file=sys.stderr)
    if options.missing:
        missing = [account.pw_name for account in _accounts(set()) if _is_missing(account)]
        print(json.dumps(missing, indent=2) if options.json else "\n".join(missing))
        return 1 if fault else 0
    rows = (
        describe(account, configured, records)
        for account in _accounts(records[mark.KIND] | records[grant.KIND])
    )
    found = [row for row in rows if row]
    print(json.dumps(found, indent=2) if options.json else _table(found))
    return 1 if fault or any(row["fault"] for row in found) else 0


def _is_missing(account: pwd.struct_passwd) -> bool:
    """Whether somebody who may log in is proven to have no secret, and has never given a code."""
    try:
        return _may_log_in(account) and not (
            mark.is_set(account.pw_uid)
            or any(Place(account, store).read(secret.NAME) for store in stores_of(account))
        )
    except Refused:
        return False  # that is a fault, which the other listing has


def describe(
    account: pwd.struct_passwd, configured: settings.Settings, records: dict[str, set[str]]
) -> dict[str, Any] | None:
    """What is known of one user; None if that is nothing. `records`: the user ids that root's
    folder of each kind lists, as opening a record that is not there costs five system calls."""
    uid = str(account.pw_uid)
    known = uid in records[mark.KIND] or uid in records[grant.KIND]
    row: dict[str, Any] = {"user": account.pw_name, "uid": account.pw_uid, "enrolled": None}
    row |= {"since": None, "last_code": None, "recovery_codes": None}
    row |= {"waiting_seconds": 0, "granted_until": None, "granted_once": False, "fault": ""}

    def fill(look: Callable[[], dict[str, Any]]) -> None:
        """What one fault hides stays None, and hides nothing else."""
        try:
            row.update(look())
        except Refused as refused:
            row["fault"] = row["fault"] or refused.detail

    try:
        place = Visited(account, configured.store)
        status = place.visit()
        elsewhere = status is None and _is_elsewhere(account, configured.store)
    except Refused as refused:
        if not known and not _may_log_in(account):
            return None  # a system account without a home
        row["fault"] = refused.detail
    else:
        if status is None and not known and not elsewhere:
            return None
        fill(lambda: _enrolled(place, status))
        fill(lambda: _codes_left(place, uid in records[recovery.KIND]))
        if elsewhere:
            row["fault"] = f"the secret is in the other store: pam-totp import {account.pw_name}"
    if uid in records[grant.KIND]:
        fill(lambda: _granted(account.pw_uid))
    if uid in records[mark.KIND]:
        row["last_code"] = _marked_at(account.pw_uid)
        if row["enrolled"] is False and not row["granted_until"]:
            gone = "has logged in with a code, the secret is gone: every login is refused"
            row["fault"] = row["fault"] or gone
    fill(lambda: _waiting(account.pw_uid, configured))
    return row


def _enrolled(place: Visited, status: os.stat_result | None) -> dict[str, Any]:
    enrolled = secret.read(place) is not None
    return {"enrolled": enrolled, "since": int(status.st_mtime) if status and enrolled else None}


def _codes_left(place: Visited, has_spent: bool) -> dict[str, Any]:
    codes = recovery.read(place)
    made = set(codes.hashes) if codes else set()
    spent = recovery.spent(place.account.pw_uid) if has_spent else []
    return {"recovery_codes": len(made.difference(spent))}


def _granted(uid: int) -> dict[str, Any]:
    given = grant.read(uid, time.time())
    return {"granted_until": given.until, "granted_once": given.once} if given else {}


def _waiting(uid: int, configured: settings.Settings) -> dict[str, Any]:
    _, failures = attempts.look(uid)
    wait = wait_seconds(failures, attempts.boot_seconds(), configured.limits)
    return {"waiting_seconds": whole_seconds(wait)}


def _is_elsewhere(account: pwd.struct_passwd, in_force: str) -> bool:
    """Whether a secret is in a store that is not in force: every login is refused until then."""
    others = (Place(account, store) for store in stores_of(account) if store != in_force)
    return any(place.stat(secret.NAME) is not None for place in others)


def _accounts(known: set[str]) -> list[pwd.struct_passwd]:
    """Everybody the database lists, and whoever left a record though it does not list them."""
    listed = {account.pw_uid: account for account in reversed(pwd.getpwall())}
    for uid in known:
        if uid.isdigit() and int(uid) not in listed:
            try:
                listed[int(uid)] = pwd.getpwuid(int(uid))
            except KeyError:
                continue  # a user that is gone
    return sorted(listed.values(), key=lambda account: account.pw_name)


def _may_log_in(account: pwd.struct_passwd) -> bool:
    return not account.pw_shell.endswith(("/nologin", "/false", "/sync"))


def _names(kind: str) -> set[str]:
    folder = durable.open_folder(kind)
    if folder is None:
        return set()
    try:
        return set(os.listdir(folder))
    finally:
        os.close(folder)


def _marked_at(uid: int) -> int | None:
    try:
        return int(os.stat(f"{durable.FOLDER}/{mark.KIND}/{uid}").st_mtime)
    except OSError:
        return None


def _table(found: list[dict[str, Any]]) -> str:
    rows = [COLUMNS, *(_cells(row) for row in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def moment(seconds: int | None) -> str:
        try:
            return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds else "-"
        except (OverflowError, OSError, ValueError):
            return "?"  # users set the times of their files to what they like

    waiting = f"{row['waiting_seconds']} s" if row["waiting_seconds"] else "-"
    return (
        row["user"],
        {True: "yes", False: "no", None: "unknown"}[row["enrolled"]],
        moment(row["since"]),
        moment(row["last_code"]),
        "unknown" if row["recovery_codes"] is None else str(row["recovery_codes"]),
        waiting,
        moment(row["granted_until"]) + (" once" if row["granted_once"] else ""),
        row["fault"] or "-",
    )
