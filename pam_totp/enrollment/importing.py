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
from typing import Any

from pam_totp.enrollment import save, used_there
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.devices import listed
from pam_totp.enrollment.import_row import (
    OTHERWISE,
    UNCHANGED,
    Task,
    carry_out,
    codes_of,
    fault,
    planned,
    refuse_other_store,
    row_of,
)
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error
from pam_totp.imports.found import Import, uri_of
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import devices_of, line_of


def enroll(account: pwd.struct_passwd, given: Import, task: Task) -> dict[str, Any]:
    """The row of a user: what was done, or would be, with plain values. Raises nothing of ours."""
    return row_of(account, lambda: _enroll(account, given, task))


def _enroll(account: pwd.struct_passwd, given: Import, task: Task) -> dict[str, Any]:
    user = account.pw_name
    secret_dir = NamingSecretDir(account, task.store)
    content = _content(user, given, task.device)
    wanted = set(map(codes_of, devices_of(content)))
    row = planned(user, given)
    existing = secret_dir.read(secret.NAME)
    enrolled = devices_of(existing)
    known = set(map(codes_of, enrolled))
    if existing is not None and (known == wanted if task.is_replacing else known >= wanted):
        return row | {"outcome": UNCHANGED}
    if existing is not None and not task.is_replacing:
        has_others_alone = {each[0] for each in known}.isdisjoint(each[0] for each in wanted)
        if task.is_of_many and known and has_others_alone:
            return fault(user, "") | {"outcome": OTHERWISE}
        raise Error("already enrolled with another secret", "--replace")
    if existing is None:
        refuse_other_store(account, task)
    gone = [each for each in enrolled if codes_of(each) not in wanted]
    if gone:
        row["options"].append({"option": "devices", "becomes": f"removed: {listed(gone)}"})
    return carry_out(row, secret_dir, task, lambda: _apply(secret_dir, given, content, existing))


def _content(user: str, given: Import, device: str) -> bytes:
    """The new secret file. Raises Unusable."""
    host, now = host_name(), time.time()
    names = [device, *(f"{device}-{number}" for number in range(2, len(given.credentials) + 1))]
    pairs = zip(given.credentials, names, strict=True)
    uris = [(uri_of(found, f"{user}@{host}", host), name) for found, name in pairs]
    return (secret.HEADER + "".join(f"{line_of(*each, now)}\n" for each in uris)).encode()


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
