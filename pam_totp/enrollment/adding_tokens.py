# SPDX-License-Identifier: MIT
"""Adds hardware tokens of a maker's list to the devices of one user.

- Nothing that the user has MUST be lost: other devices stay, and so do the recovery codes.
- No code has proved them, so they are unconfirmed (pam_totp.records.user.devices).
"""

import pwd
import time
from collections.abc import Sequence
from typing import Any

from pam_totp.enrollment import devices, save
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.import_row import (
    UNCHANGED,
    Task,
    carry_out,
    codes_of,
    planned,
    refuse_other_store,
    row_of,
)
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error, command
from pam_totp.imports.found import Entry, Import, uri_of
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.secret_writer import Known
from pam_totp.records.user import secret
from pam_totp.records.user.devices import UNCONFIRMED, Device, devices_of, line_of, with_line
from pam_totp.rules.credential import MAX_CREDENTIALS

PREFIX = "token-"  # a serial number of eight digits alone would look like the id of a device


def add(
    account: pwd.struct_passwd, tokens: Sequence[Entry], notes: list[str], task: Task
) -> dict[str, Any]:
    """The row of a user: what was done, or would be. notes: what of the file is not kept. Raises
    nothing of ours."""
    return row_of(account, lambda: _add(account, tokens, notes, task))


def _add(
    account: pwd.struct_passwd, tokens: Sequence[Entry], notes: list[str], task: Task
) -> dict[str, Any]:
    secret_dir = NamingSecretDir(account, task.store)
    existing = secret_dir.read(secret.NAME)
    if existing is None:
        refuse_other_store(account, task)
    enrolled = devices_of(existing)
    added, options = _added(account.pw_name, tokens, enrolled)
    if existing is None:
        options.append(("recovery codes", "none; the user makes them: pam-totp recovery-codes"))
    options += [("not kept", note) for note in notes]
    found = tuple(token.found for token in tokens if token.found is not None)
    row = planned(account.pw_name, Import(credentials=found, options=tuple(options)))
    if not added:
        return row | {"outcome": UNCHANGED}
    count = len(enrolled) + len(added)
    if count > MAX_CREDENTIALS:
        what = f"that would be {count} devices, and {MAX_CREDENTIALS} are possible"
        raise Error(what, command("devices", user=account.pw_name))
    content = existing or secret.HEADER.encode()
    for line in added:
        content = with_line(content, line)
    known = (secret.NAME, existing)
    return carry_out(row, secret_dir, task, lambda: _apply(secret_dir, content, known))


def _added(
    user: str, tokens: Sequence[Entry], enrolled: list[Device]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The new lines, and what becomes of each token. Raises Error or Unusable."""
    host, now = host_name(), time.time()
    names = [each.name for each in enrolled]
    added, fates = list[str](), list[tuple[str, str]]()
    for token in tokens:
        assert token.found is not None, "a token that cannot be imported is nobody's"
        name = devices.free_name(names, f"{PREFIX}{token.name}")
        line = line_of(uri_of(token.found, f"{user}@{host}", host), name, now, UNCONFIRMED)
        (new,) = devices_of(line.encode())
        same = [each for each in enrolled if each.id == new.id]
        if any(codes_of(each) != codes_of(new) for each in same):
            message = f"the key of {token.name} has {devices.called(same[0])}, for other codes"
            raise Error(message, command("devices", user=user))
        if same:
            fates.append((token.name, f"enrolled already: {devices.called(same[0])}"))
            continue
        names.append(name)
        added.append(line)
        fates.append((token.name, f"the device {name!r}, unconfirmed until a login with a code"))
    return added, fates


def _apply(secret_dir: SecretDir, content: bytes, known: Known) -> str:
    """Saves it; what is not well then, if anything. Raises Error: then nothing was changed."""
    forget_mark(secret_dir.account)
    try:
        save.save(secret_dir, secret.NAME, content, known)
    except save.TookEffect as effect:
        return effect.message
    return ""
