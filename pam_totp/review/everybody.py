# SPDX-License-Identifier: MIT
"""Everybody a listing or a migration goes through, and the secrets of users that are gone."""

import os
import pwd

from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SYSTEM_STORE


def accounts(known: set[str]) -> list[pwd.struct_passwd]:
    """Everybody the database lists, and users with a record though it does not list them."""
    listed = {account.pw_uid: account for account in reversed(pwd.getpwall())}
    for uid in known:
        if uid.isdigit() and int(uid) not in listed:
            try:
                listed[int(uid)] = pwd.getpwuid(int(uid))
            except KeyError:
                continue  # a user that is gone
    return sorted(listed.values(), key=lambda account: account.pw_name)


def names(kind: str, state: state_dir.StateDir = state_dir.VAR) -> set[str]:
    """What root's folder of one kind of record lists. Raises Failure."""
    folder = state.open(kind)
    if folder is None:
        return set()
    try:
        return set(os.listdir(folder))
    finally:
        os.close(folder)


def names_without_user() -> list[str]:
    """The names under which the system's store keeps something, and that no user has: of users that
    were renamed or removed. Raises Failure."""
    kept = names(SYSTEM_STORE)
    if kept:  # a look-up of each would read the whole database each time
        kept -= {account.pw_name for account in pwd.getpwall()}
    return sorted(name for name in kept if not _is_user(name) and _has_files(name))


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
        return True
    except KeyError:
        return False


def _has_files(name: str) -> bool:
    try:
        return bool(os.listdir(f"{state_dir.VAR.path}/{SYSTEM_STORE}/{name}"))
    except OSError:
        return False  # no folder, so not one of a user
