# SPDX-License-Identifier: MIT
"""Enrolling one user with what a file of another program holds.

- An existing secret MUST stay, unless root asked for its replacement: then the user ends with
  exactly what the file holds, and the devices that go are named before. Of many users, those who
  have enrolled here by themselves are no fault: so a move from another program ends.
- A code that was used there MUST be refused here (pam_totp.enrollment.used_there): it is recorded
  before the secret is saved, so that no login falls between.
"""

import pwd
import time
from contextlib import suppress
from typing import Any

from pam_totp import repair
from pam_totp.enrollment import save, used_there
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.closed_home import warning_of
from pam_totp.enrollment.devices import listed
from pam_totp.enrollment.identity import caller
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error, command
from pam_totp.imports.found import HOTP, Found, Import, Unusable, uri_of
from pam_totp.records.host import action_log
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import Device, devices_of, line_of
from pam_totp.rules.reasons import Failure
from pam_totp.rules.record import Record
from pam_totp.rules.repair_for_root import repair_for_root

PLANNED, IMPORTED, UNCHANGED, FAULT = "would be imported", "imported", "unchanged", "fault"
OTHERWISE = "enrolled with another secret"


class Task(Record):
    """source: the program; device: what the credentials are named; store: the active one;
    is_applied: whether to change anything; is_replacing: whether an existing secret may be
    replaced; is_of_many: whether nobody was named."""

    source: str
    device: str
    store: str
    is_applied: bool
    is_replacing: bool
    is_of_many: bool = False


def fault(user: str, message: str, hint: str = "") -> dict[str, Any]:
    """The row of a user of whom nothing was changed; `hint`: one command or sentence, if known."""
    row: dict[str, Any] = {"user": user, "outcome": FAULT, "credentials": []}
    return row | {"recovery_codes": 0, "options": [], "fault": message, "hint": hint}


def enroll(account: pwd.struct_passwd, given: Import, task: Task) -> dict[str, Any]:
    """The row of a user: what was done, or would be, with plain values. Raises nothing of ours."""
    user = account.pw_name
    try:
        return _enroll(account, given, task)
    except Unusable as unusable:
        return fault(user, unusable.message, unusable.hint)
    except Error as error:
        return fault(user, error.message, error.hint)
    except Failure as refused:
        return refusal(account, refused.detail)
    except OSError as failure:
        return refusal(account, failure.strerror or str(failure))


def refusal(account: pwd.struct_passwd, detail: str) -> dict[str, Any]:
    """The row of a user whose files cannot be read or written."""
    message, hint = repair.split(repair_for_root(detail, account), account.pw_dir)
    return fault(account.pw_name, message, hint)


def _enroll(account: pwd.struct_passwd, given: Import, task: Task) -> dict[str, Any]:
    user = account.pw_name
    secret_dir = NamingSecretDir(account, task.store)
    content = _content(user, given, task.device)
    wanted = set(map(_codes_of, devices_of(content)))
    row = fault(user, "") | {
        "outcome": PLANNED,
        "credentials": [_told(each) for each in given.credentials],
        "recovery_codes": len(given.codes),
        "options": [{"option": name, "becomes": fate} for name, fate in given.options],
    }
    existing = secret_dir.read(secret.NAME)
    enrolled = devices_of(existing)
    known = set(map(_codes_of, enrolled))
    if existing is not None and (known == wanted if task.is_replacing else known >= wanted):
        return row | {"outcome": UNCHANGED}
    if existing is not None and not task.is_replacing:
        has_others_alone = {each[0] for each in known}.isdisjoint(each[0] for each in wanted)
        if task.is_of_many and known and has_others_alone:
            return fault(user, "") | {"outcome": OTHERWISE}
        raise Error("already enrolled with another secret", "--replace")
    if existing is None and _is_elsewhere(account, task.store):
        raise Error("the secret is in the other store", command("migrate", user))
    gone = [each for each in enrolled if _codes_of(each) not in wanted]
    if gone:
        row["options"].append({"option": "devices", "becomes": f"removed: {listed(gone)}"})
    warning = warning_of(secret_dir).partition("\n")[0]
    if warning:
        row["options"].append({"option": "home", "becomes": warning})
    if not task.is_applied:
        return row
    message = _apply(secret_dir, given, content, existing)
    action_log.write(f"import-{task.source}", user=user, by=caller())
    return row | {"outcome": IMPORTED, "fault": message}


def _content(user: str, given: Import, device: str) -> bytes:
    """The new secret file. Raises Unusable."""
    host, now = host_name(), time.time()
    names = [device, *(f"{device}-{number}" for number in range(2, len(given.credentials) + 1))]
    pairs = zip(given.credentials, names, strict=True)
    uris = [(uri_of(found, f"{user}@{host}", host), name) for found, name in pairs]
    return (secret.HEADER + "".join(f"{line_of(*each, now)}\n" for each in uris)).encode()


def _told(found: Found) -> dict[str, Any]:
    """A credential without its secret."""
    told: dict[str, Any] = {"type": found.kind, "algorithm": found.algorithm}
    told["digits"] = found.digits
    is_hotp = found.kind == HOTP
    return told | ({"counter": found.counter} if is_hotp else {"period": found.period})


def _codes_of(device: Device) -> tuple[str, str, str, int, int]:
    """What makes its codes; first the identity of its secret."""
    of = device.credential
    return of.identity, device.kind, of.algorithm, of.digits, of.period


def _is_elsewhere(account: pwd.struct_passwd, active: str) -> bool:
    others = [store for store in stores_of(account) if store != active]
    with suppress(Failure):  # a home that cannot be read holds no secret that anything reads
        return any(SecretDir(account, each).read(secret.NAME) is not None for each in others)
    return False


def _apply(secret_dir: SecretDir, given: Import, content: bytes, existing: bytes | None) -> str:
    """Saves it; what is not well then, if anything. Raises Error, Failure or OSError: the old
    secret stays."""
    if existing is not None:  # of two new files, one may not take the place of an old one
        save.try_out(secret_dir, recovery.NAME, secret.NAME)
    codes = used_there.recovery_file(secret_dir, given)
    forget_mark(secret_dir.account)
    used_there.record(secret_dir.account.pw_uid, given)
    try:
        if codes is None:
            save.save(secret_dir, secret.NAME, content, (secret.NAME, existing))
        else:
            save.save_enrollment(secret_dir, content, codes, (secret.NAME, existing))
    except save.TookEffect as effect:
        return effect.message
    return ""
