# SPDX-License-Identifier: MIT
"""One row of `pam-totp users`: secret, recovery codes, last code, grant, wait and fault."""

import os
import pwd
import time
from collections.abc import Callable
from typing import Any

from pam_totp.errors import command
from pam_totp.records.config import settings
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import (
    attempts,
    contacts,
    counters,
    enforced,
    grant,
    recovery,
    secret,
)
from pam_totp.review import secret_file, sent_codes
from pam_totp.review.everybody import names_without_user
from pam_totp.review.in_place_of_codes import InPlaceOfCodes
from pam_totp.review.unconfirmed import is_unconfirmed
from pam_totp.review.visited import Above, Visited, stat_file
from pam_totp.rules.credential import Credential
from pam_totp.rules.reasons import HOTP, TOTP, Failure
from pam_totp.rules.repair_for_root import repair_for_root
from pam_totp.rules.throttle import wait_seconds, whole_seconds

TRIES = "tries"  # in `records`: whose incorrect codes are recorded


def describe(
    account: pwd.struct_passwd,
    active: settings.Settings,
    records: dict[str, set[str]],
    credentials: list[Credential],
    above: Above,
    in_place: InPlaceOfCodes,
) -> dict[str, Any] | None:
    """The row of `pam-totp users --json`; None if there is nothing to list. `records`: the user ids
    with a record of each kind, so that no record is opened in vain (five system calls each); those
    of TRIES may not be known. `credentials`: gets those of the secret, for a caller who looks at
    them too; `above`: what is known of the folders above the homes."""
    uid = str(account.pw_uid)
    is_recorded = uid in records[enforced.KIND]
    has_contacts = uid in records[contacts.KIND]
    others = in_place.of(account)
    known = bool(others) or is_recorded or has_contacts or uid in records[grant.KIND]
    row = empty_row(account.pw_name, account.pw_uid)
    row["last_code_at"] = last_code_at(account.pw_uid) if is_recorded else None

    def fill(look: Callable[[], dict[str, Any]]) -> None:
        """A fault leaves its own values None, and does not affect the others."""
        try:
            row.update(look())
        except Failure as failure:
            row["fault"] = row["fault"] or told(failure.detail, account)

    try:
        secret_dir = Visited(account, active.store, above)
        status = secret_dir.visit()
        elsewhere = status is None and _is_elsewhere(account, active.store)
    except Failure as failure:
        homeless = fault_of_home(account)
        is_somebody = may_log_in(account) or (homeless and is_person(account))
        if not known and not is_somebody:
            return None  # a system account without a home
        row["fault"] = homeless or told(failure.detail, account)
    else:
        if status is None and not known and not elsewhere:
            return None
        fill(lambda: _enrolled(secret_dir, status, credentials, row["last_code_at"]))
        fill(lambda: _codes_left(secret_dir, uid in records[recovery.KIND]))
        if elsewhere:
            migrate = command("migrate", account.pw_name)
            row["fault"] = f"the secret is in the other store; run: {migrate}"
    if row["enrolled"] is not None:
        kinds = {HOTP if each.counter is not None else TOTP for each in credentials}
        # The weaker first.
        row["factors"] = [*(kind for kind in (TOTP, HOTP) if kind in kinds), *others]
    if has_contacts:
        fill(lambda: sent_codes.of_row(account, active, row))
        if row["enrolled"] and row["fault"] == fault_of_home(account):
            row["fault"] = ""  # a code that is sent needs no home
    if uid in records[grant.KIND]:
        fill(lambda: granted(account.pw_uid))
    if is_recorded and row["enrolled"] is False and not row["granted_until"]:
        gone = "the secret is missing, so every login is refused"
        nobodys = names_without_user() if active.store == "system" else []
        if nobodys:
            renamed = command("migrate", account.pw_name, options=["--renamed-from", nobodys[0]])
            gone += f"; if renamed, run: {renamed}"
        row["fault"] = row["fault"] or gone
    has_token = any(each.counter is not None for each in credentials)
    if has_token and uid in records.get(counters.KIND, (uid,)):
        fill(lambda: _fault_of_counters(account.pw_uid))
    if uid in records.get(TRIES, (uid,)):
        fill(lambda: _waiting(account.pw_uid, active))
    return row


def told(fault: str, account: pwd.struct_passwd) -> str:
    """A fault of an account's files, as it is told to whoever runs this."""
    removal = command("contact", account.pw_name, options=["--remove"])
    fault = fault.replace(contacts.REPAIR, removal)
    return repair_for_root(fault, account) if os.geteuid() == 0 else fault


def empty_row(name: str, uid: int | None) -> dict[str, Any]:
    """One of which nothing is known yet."""
    row: dict[str, Any] = {"user": name, "uid": uid, "enrolled": None}
    row |= {"factors": None, "unconfirmed_contacts": []}
    row |= {"unconfirmed": None, "devices": None, "since": None, "last_code_at": None}
    row |= {"recovery_codes_left": None, "waiting_seconds": 0, "granted_until": None}
    return row | {"granted_once": False, "fault": ""}


def _enrolled(
    secret_dir: Visited,
    status: os.stat_result | None,
    credentials: list[Credential],
    last: int | None,
) -> dict[str, Any]:
    content = secret_dir.read(secret.NAME)
    enrolled, found, faults = secret_file.judge(content, f"{secret_dir.path}/{secret.NAME}")
    credentials += found
    since = int(status.st_mtime) if status and enrolled else None
    return {
        "enrolled": enrolled,
        "unconfirmed": enrolled and is_unconfirmed(content or b"", last),
        "devices": [each.device for each in found] if enrolled is not None else None,
        "since": since,
        "fault": secret_file.summary(faults),
    }


def _codes_left(secret_dir: Visited, has_used: bool) -> dict[str, Any]:
    codes = recovery.read(secret_dir)
    made = set(codes[1]) if codes else set()
    used = recovery.used(secret_dir.account.pw_uid) if has_used else []
    return {"recovery_codes_left": len(made.difference(used))}


def granted(uid: int) -> dict[str, Any]:
    """What the row says of a grant; nothing without one. Raises Failure."""
    found = grant.read(uid, time.time())
    return {"granted_until": found.until, "granted_once": found.once} if found else {}


def _waiting(uid: int, active: settings.Settings) -> dict[str, Any]:
    _, failures = attempts.look(uid)
    wait = wait_seconds(failures, attempts.boot_seconds(), active.limits)
    return {"waiting_seconds": whole_seconds(wait)}


def _fault_of_counters(uid: int) -> dict[str, Any]:
    counters.read(uid)
    return {}


def _is_elsewhere(account: pwd.struct_passwd, active: str) -> bool:
    """Whether the secret is in the store that is not active: then every login is refused."""
    others = (SecretDir(account, store) for store in stores_of(account) if store != active)
    return any(secret_dir.look(secret.NAME, stat_file) for secret_dir in others)


def last_code_at(uid: int) -> int | None:
    """When the last login with a code was, in Unix seconds; None if that is not known."""
    try:
        return int(os.stat(f"{state_dir.VAR.path}/{enforced.KIND}/{uid}").st_mtime)
    except OSError:
        return None


def fault_of_home(account: pwd.struct_passwd) -> str:
    """The fault of a home that does not exist; empty otherwise. Users who only have sftp may have
    a home relative to their chroot."""
    try:
        os.stat(account.pw_dir)
    except FileNotFoundError:
        what = f"home {account.pw_dir!a} does not exist, so it cannot hold a secret"
        return f"{what}; logins are refused until it is created or a rule says 'code: never'"
    except (OSError, ValueError):
        pass
    return ""


def is_person(account: pwd.struct_passwd) -> bool:
    """Whether the id is in the range for people (Debian Policy, section 9.2.2), whatever the shell:
    sftp needs none."""
    return 1000 <= account.pw_uid < 60000


def may_log_in(account: pwd.struct_passwd) -> bool:
    """Whether the account's shell is one to log in with."""
    return not account.pw_shell.endswith(("/nologin", "/false", "/sync"))
