# SPDX-License-Identifier: MIT
"""Secrets of a login host on their way to the store, in a file: the host itself may not put them
there, since a stolen one would give everybody a secret of its own.

- The file MUST be new, root's alone from its first byte on, in a folder that only root can change.
"""

import os
import pwd
from typing import Any

from pam_totp import repair
from pam_totp.enrollment import given_file
from pam_totp.enrollment.identity import caller
from pam_totp.enrollment.new_file import NewFile
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error
from pam_totp.fleet import people
from pam_totp.fleet.user_names import refuse_impossible
from pam_totp.migration import secrets_file
from pam_totp.migration.in_time import Rows, move_in_time
from pam_totp.migration.into_fleet import local_secret, put, until_now
from pam_totp.migration.secrets_file import Refused
from pam_totp.records.host import action_log
from pam_totp.records.storage.walk import Walk
from pam_totp.rules.reasons import Failure


def write(path: str, accounts: list[pwd.struct_passwd], active: str, faults: Rows) -> Rows:
    """Writes the secrets of these accounts to a new file; a row for each. Adds to faults. Raises
    Error."""

    def read(account: pwd.struct_passwd) -> tuple[Rows, str]:
        try:
            found = local_secret(account, active)
            if found is None:
                return [], ""
            _, content, steps = found
            devices = secrets_file.devices_in(content, steps)
            return [{"user": account.pw_name, "devices": devices}], ""
        except Refused as refused:
            return [], str(refused)

    _refuse_folder_of_others(path)
    with NewFile(path) as file:
        users: Rows = []
        move_in_time(accounts, read, users, faults)
        file.write(secrets_file.content_of(host_name(), users))
    for each in users:
        action_log.write("copy-secret", user=each["user"], by=caller())
    return [{"user": each["user"], "devices": _names(each)} for each in users]


def put_all(path: str, *, adds: bool, faults: Rows) -> Rows:
    """Puts the secrets of a file into the store of this machine; a row for each user of whom one is
    new there. Adds to faults. Raises Error."""
    content = given_file.read(path, has_secrets=True)
    try:
        users = secrets_file.users_in(content)
    except Refused as refused:
        message = f"{given_file.shown(path)} cannot be used: {refused}; nothing was changed"
        raise Error(message, "at the login host: pam-totp migrate --all --write FILE") from None
    refuse_impossible([each["user"] for each in users])
    rows: Rows = []
    with people.connected() as store:
        for each in users:
            try:
                is_new = put(store, each["user"], until_now(each["devices"]), adds=adds)
            except Error as fault:
                faults.append({"user": each["user"], "fault": fault.message})
                continue
            if is_new:
                action_log.write("migrate-to-fleet", user=each["user"], by=caller())
                rows.append({"user": each["user"], "devices": _names(each)})
    return rows


def _names(user: dict[str, Any]) -> list[str]:
    return [device["device"] for device in user["devices"]]


def _refuse_folder_of_others(path: str) -> None:
    """Raises Error unless only root can move what lies there."""
    folder = os.path.dirname(os.path.join(os.getcwd(), path))
    walk = Walk(user=pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "")), is_checked=True)
    try:
        walk.go(folder, follow=True)
    except Failure as refused:
        fault, hint = repair.split(refused.detail, folder)
        raise Error(f"secrets cannot be kept in {folder}: {fault}", hint) from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), folder)
        raise Error(f"{folder}: {fault}", hint) from None
    finally:
        if walk.folder >= 0:
            os.close(walk.folder)
