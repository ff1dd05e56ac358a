# SPDX-License-Identifier: MIT
"""`pam-totp users`: lists users with their enrollment, and faults that keep them out."""

import argparse
import json
import os
import pwd
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

from pam_totp import progress, repair
from pam_totp.errors import Error, for_root, printable, quoted
from pam_totp.fleet import people, person_text
from pam_totp.listing import columns, fit, moment
from pam_totp.records.config import settings
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import contacts, counters, enforced, grant, recovery, secret
from pam_totp.review import sent_codes
from pam_totp.review.active_settings import fault_of
from pam_totp.review.everybody import accounts, names, names_without_user
from pam_totp.review.in_time import LookFailed, each_in_time
from pam_totp.review.user_row import empty_row, fault_of_home, is_person, may_log_in
from pam_totp.review.user_rows import user_rows
from pam_totp.rules.reasons import HOTP, TOTP, Failure

HELP = "root: list enrolled users and faults"

COLUMNS = ("user", "enrolled", "since (UTC)", "last code (UTC)", "recovery")
ENROLLED = {True: "yes", False: "no", None: "unknown"}
Look = TypeVar("Look")
MAX_NAME = 21  # a longer one has a line of its own, so that 80 columns hold the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp users`."""
    parser.add_argument(
        "--missing", action="store_true", help="only users who can log in and have not enrolled"
    )
    people.add_options(parser, "list all users in the store")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints every user with a secret, a record or a fault. 1: found faults, also of the
    settings."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    if options.fleet:
        return _list_fleet(options)
    try:
        gone = [_without_user(name) for name in names_without_user()]
        kinds = (enforced.KIND, grant.KIND, recovery.KIND, counters.KIND, contacts.KIND)
        records = {kind: names(kind) for kind in kinds}
    except Failure as failure:
        raise Error(*repair.split(failure.detail, state_dir.VAR.path)) from None
    active = settings.load()
    fault = fault_of(active)
    if fault:
        print(fit(printable(f"pam-totp: fault: {fault}"), sys.stderr), file=sys.stderr)
        print("hint: pam-totp config check", file=sys.stderr)
    if options.missing:
        in_fleet = active.store == settings.FLEET
        missing = _missing_in_fleet(active, records) if in_fleet else _missing(active)
        print(json.dumps(missing, indent=2) if options.json else "\n".join(missing))
        return 1 if fault else 0
    of_records = (enforced.KIND, grant.KIND, contacts.KIND)
    everybody = accounts(set[str]().union(*(records[kind] for kind in of_records)))
    looks = _all(user_rows(everybody, active, records), len(everybody))
    rows = [row for _, row, _ in looks if row]
    found = sorted(rows + gone, key=lambda row: str(row["user"]))
    print(json.dumps(found, indent=2) if options.json else fit(_table(found)))
    return 1 if fault or any(row["fault"] for row in found) else 0


def _list_fleet(options: argparse.Namespace) -> int:
    """Everybody whom the store knows; on a database server."""
    with people.connected() as store:
        known = people.people(store)
    if options.missing:
        missing = [each.name for each in known if each.state != people.ENROLLED]
        print(json.dumps(missing, indent=2) if options.json else "\n".join(missing))
        return 0
    found = [person_text.row_of(each) for each in known]
    print(json.dumps(found, indent=2) if options.json else fit(_table(found)))
    return 0


def _missing_in_fleet(active: settings.Settings, records: dict[str, set[str]]) -> list[str]:
    people_here = [each for each in accounts(set()) if may_log_in(each)]
    looks = _all(user_rows(people_here, active, records), len(people_here))
    return [account.pw_name for account, row, _ in looks if not row or row["enrolled"] is False]


def _missing(active: settings.Settings) -> list[str]:
    everybody = accounts(set())
    accepted = sent_codes.accepted_in(active.rules)
    looks = _all(each_in_time(everybody, partial(_is_missing, accepted)), len(everybody))
    return [account.pw_name for account, found in looks if found is True]


def _all(looks: Iterator[Look], total: int) -> list[Look]:
    """With a line of progress. A list that is not complete is an error, and not printed."""
    try:
        return list(progress.told(looks, total, "users"))
    except LookFailed as failure:
        raise Error(f"the list is not complete: {failure}", "run the command again") from None
    except Failure as failure:
        message = f"the list is not complete, because the store cannot be asked: {failure.detail}"
        raise Error(message, "pam-totp doctor") from None


def _is_missing(accepted: tuple[str, ...], account: pwd.struct_passwd) -> bool:
    """Whether the user can log in, is proven to have no secret and no confirmed contact to which an
    accepted kind of code is sent, and has never used a code. A home that does not exist holds no
    secret."""
    homeless = bool(fault_of_home(account))
    stores = [store for store in stores_of(account) if not (homeless and store == "user")]
    try:
        return (may_log_in(account) or (homeless and is_person(account))) and not (
            enforced.is_set(account.pw_uid)
            or (accepted and sent_codes.count_as_factors(contacts.read(account), accepted))
            or any(SecretDir(account, store).read(secret.NAME) for store in stores)
        )
    except Failure:
        return False  # a fault, which the other listing shows


def _without_user(name: str) -> dict[str, Any]:
    """The row of a secret in the system's store whose name no user has."""
    renamed = f"pam-totp migrate NEW --renamed-from {quoted(name)}"
    fault = f"there is no such user; if renamed, run: {renamed}"
    return empty_row(name, None) | {"fault": fault}


def _table(found: list[dict[str, Any]]) -> str:
    """A line for each user, and below it one for each thing that needs attention."""
    rows = [COLUMNS, *(_cells(row) for row in found)]
    notes = [[], *(_notes(row) for row in found)]
    listed = zip(columns(rows, MAX_NAME), notes, strict=True)
    return "\n".join(line for lines, more in listed for line in [*lines, *more])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        printable(row["user"]),
        "unconfirmed" if row["unconfirmed"] else ENROLLED[row["enrolled"]],
        moment(row["since"] or None),
        moment(row["last_code_at"] or None),
        "unknown" if row["recovery_codes_left"] is None else str(row["recovery_codes_left"]),
    )


def _notes(row: dict[str, Any]) -> list[str]:
    notes = []
    if len(row["devices"] or ()) > 1:
        notes.append(f"  devices: {', '.join(printable(name) or '-' for name in row['devices'])}")
    factors = row.get("factors") or ()
    if any(kind not in (TOTP, HOTP) for kind in factors):
        notes.append(f"  factors: {', '.join(factors)}")
    if row.get("unconfirmed_contacts"):
        notes.append(f"  unconfirmed contact: {', '.join(row['unconfirmed_contacts'])}")
    if row["waiting_seconds"]:
        notes.append(f"  waiting: {row['waiting_seconds']} s after incorrect codes")
    if row["granted_until"]:
        once = "once, " if row["granted_once"] else ""
        notes.append(f"  grant: {once}until {moment(row['granted_until'])} UTC")
    if row.get("invited_until"):
        notes.append(f"  invitation: until {moment(row['invited_until'])} UTC")
    if row.get("reset_at"):
        notes.append(f"  reset: {moment(row['reset_at'])} UTC")
    if row["fault"]:
        notes.append(f"  fault: {printable(row['fault'])}")
    return notes
