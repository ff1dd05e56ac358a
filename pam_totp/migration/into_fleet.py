# SPDX-License-Identifier: MIT
"""Takes the secrets of accounts of this host into the store, one user after another.

- The store MUST hold all of a user's secrets, durably, before the first is removed here.
- What is removed MUST be what was taken: a user may enroll at that moment.
- A login here MUST wait meanwhile: a code that it accepted would be good once more in the fleet.
- Secrets that logins of this very host use MUST stay, unless that was asked for: administrators
  log in with them to repair the store.
"""

import pwd
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error
from pam_totp.fleet import people
from pam_totp.migration.secrets_file import Refused, credential_of, devices_in
from pam_totp.records import fleet
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.storage import secret_removal
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import attempts, recovery, secret
from pam_totp.rules.otp import WINDOW_STEPS

if TYPE_CHECKING:
    from pam_totp.fleet.people import Connection

HAS_ANOTHER = "already has a secret in the fleet; --add-devices adds this one as another device"
WAS_RESET = "was reset in the fleet, so this may be of a lost phone; --add-devices adds it anyway"


def local_secret(
    account: pwd.struct_passwd, active: str
) -> tuple[SecretDir, bytes, dict[str, int]] | None:
    """Where the user's secret is, what it holds, and the last accepted steps; None without one. One
    in the active store counts. Raises Failure, or Refused where there are two that differ."""
    found = list[tuple[SecretDir, bytes]]()
    for store in sorted(stores_of(account), key=lambda store: (store != active, store == "user")):
        secret_dir = SecretDir(account, store)
        content = secret_dir.read(secret.NAME)
        if content is not None:
            found.append((secret_dir, content))
    if not found:
        return None
    if len({content for _, content in found}) > 1:
        raise Refused(f"there are two secrets that differ, in {found[0][0].path} and elsewhere")
    steps, _ = attempts.look(account.pw_uid)
    return *found[0], steps


def put(
    connection: "Connection", name: str, devices: Sequence[dict[str, Any]], *, adds: bool
) -> bool:
    """Puts all devices of a person into the store, or none; whether any of them is new there. Used
    codes stay used. adds: also beside another secret that the person has, and after a reset. Raises
    Error."""
    with people.refusals_told(), connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = on")
        before = people.people(connection, [name])
        had = len(before[0].devices) if before else 0
        if before and before[0].state == people.RESET and not adds:
            raise Error(WAS_RESET, "pam-totp users --fleet")
        taken = [credential_of(each) for each in devices]
        for each in taken:
            people.import_credential(connection, name, *each)
        has = len(people.person(connection, name).devices)
        if has > had > 0 and not adds:
            raise Error(HAS_ANOTHER, "pam-totp users --fleet")
    return has > had


def until_now(devices: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The devices with every code used up that another host may have accepted until now."""
    found = []
    for each in devices:
        step = int(time.time() // each["period"]) + each["offset"] + WINDOW_STEPS
        found.append(each | {"last_step": max(step, each["last_step"])})
    return found


class IntoStore:
    """Moves users, each wholly; in a process of its own, with a connection of its own.

    active: the store by which logins of this host go. adds: as of `put`; removes: also what is in
    the active store."""

    def __init__(self, active: str, *, adds: bool, removes: bool) -> None:
        self._active, self._adds, self._removes = active, adds, removes
        self._open = ExitStack()
        self._connection: Connection | None = None

    def move(self, account: pwd.struct_passwd) -> tuple[list[dict[str, Any]], str]:
        """What was moved of a user, and what is wrong. Raises Failure or Error."""
        try:
            if local_secret(account, self._active) is None:
                return [], ""
            with closing(attempts.Attempts(account.pw_uid)) as record:
                return self._move(account, record.steps), ""
        except Refused as refused:
            return [], str(refused)
        except OSError as failure:
            return [], failure.strerror or str(failure)

    def _move(self, account: pwd.struct_passwd, steps: dict[str, int]) -> list[dict[str, Any]]:
        """The same under the lock of the user's record."""
        found = local_secret(account, self._active)
        if found is None:
            return []
        source, content, _ = found
        if self._connection is None:
            self._connection = self._open.enter_context(people.connected())
        devices = devices_in(content, steps)
        is_new = put(self._connection, account.pw_name, devices, adds=self._adds)
        is_kept = source.path == SecretDir(account, self._active).path and not self._removes
        if is_new:
            action_log.write("migrate-to-fleet", user=account.pw_name, by=caller())
        if not is_kept:
            remove(source, content)
        return [_row(source, is_removed=not is_kept)] if is_new or not is_kept else []


def remove_left_behind(account: pwd.struct_passwd) -> tuple[list[dict[str, Any]], str]:
    """At a login host: removes the secret of a user whom the store has enrolled. Raises Failure or
    Error."""
    try:
        found = local_secret(account, settings.FLEET)
        if found is None:
            return [], ""
        source, content, _ = found
        if fleet.standing(account.pw_name).state != fleet.ENROLLED:
            return [], "is not enrolled in the fleet"
        remove(source, content)
        return [_row(source, is_removed=True)], ""
    except Refused as refused:
        return [], str(refused)
    except OSError as failure:
        return [], failure.strerror or str(failure)


def remove(source: SecretDir, content: bytes) -> None:
    """Removes a secret, if it is still that, and the recovery codes beside it. Raises OSError,
    Failure or Error."""
    codes = source.read(recovery.NAME)
    files = [(secret.NAME, content)] + ([(recovery.NAME, codes)] if codes is not None else [])
    forget_mark(source.account)
    secret_removal.remove_unchanged(source, files)
    secret_removal.remove_empty_folder(source)


def _row(source: SecretDir, *, is_removed: bool) -> dict[str, Any]:
    path = f"{source.path}/{secret.NAME}"
    row = {"user": source.account.pw_name, "from": path, "to": settings.FLEET}
    return row | {"removed": is_removed}
