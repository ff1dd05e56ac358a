# SPDX-License-Identifier: MIT
"""`pam-totp migrate`: moves secrets into the active store, or to the new name of a user."""

import argparse
import json
import os
import pwd
from typing import Any

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error, UsageError, command, for_root, printable, quoted
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.storage import secret_removal, secret_writer, state_dir
from pam_totp.records.storage.secret_dir import STORES, SecretDir, stores_of
from pam_totp.records.user import enforced, recovery, secret
from pam_totp.review import everybody
from pam_totp.review.user_row import fault_of_home, may_log_in
from pam_totp.rules.reasons import Failure
from pam_totp.rules.repair_for_root import repair_for_root
from pam_totp.signals import later

HELP = "root: move secrets into the active store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp migrate`."""
    parser.add_argument("name", metavar="USER", nargs="?")
    parser.add_argument("--all", action="store_true", help="move the secrets of all users")
    parser.add_argument("--renamed-from", metavar="OLD", help="the name that the user had before")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Moves secrets and recovery codes: first there, then not here. What is in place already is no
    error. 1: some of `--all` could not be moved."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    if options.all == (options.name is not None) or (options.all and options.renamed_from):
        raise UsageError("name one user, or use --all", "pam-totp migrate --help")
    active = settings.load().store
    moved: list[dict[str, str]] = []
    faults: list[dict[str, str]] = []
    try:
        if options.all:
            _move_all(active, moved, faults)
        else:
            moved = _move_one(options.name, options.renamed_from, active)
    except KeyboardInterrupt:
        count = len({each["user"] for each in moved})
        message = f"interrupted; the secrets of at least {count} users were moved, each wholly"
        raise Error(message, "run the command again") from None
    if options.json:
        found: dict[str, Any] = {"changed": bool(moved), "moved": moved, "not_moved": faults}
        print(json.dumps(found, indent=2))
    else:
        for each in moved:
            print(fit(f"moved {printable(each['from'])} to {printable(each['to'])}"))
        if not moved and not faults:
            print("Nothing to move: every secret is in the active store.")
    if faults:
        users = ", ".join(f"{each['user']} ({each['fault']})" for each in faults)
        raise Error(f"cannot move the secrets of {users}", "pam-totp users")
    return 0


def _move_all(active: str, moved: list[dict[str, str]], faults: list[dict[str, str]]) -> None:
    """Adds to both. Raises KeyboardInterrupt, between two users."""
    for account in _everybody():
        try:
            moved += _move(*_way_of(account, active), active)
        except Error as fault:
            faults.append({"user": account.pw_name, "fault": fault.message})
        except Failure as refused:
            if may_log_in(account) and not fault_of_home(account):
                faults.append({"user": account.pw_name, "fault": refused.detail})


def _everybody() -> list[pwd.struct_passwd]:
    try:
        return everybody.accounts(everybody.names(enforced.KIND))
    except Failure as refused:
        raise Error(*repair.split(refused.detail, state_dir.VAR.path)) from None


def _way_of(account: pwd.struct_passwd, active: str) -> tuple[SecretDir, SecretDir]:
    """From where to where. Raises Failure."""
    others = [store for store in stores_of(account) if store != active] or list(STORES)
    return SecretDir(account, others[0]), SecretDir(account, active)


def _move_one(name: str, old: str | None, active: str) -> list[dict[str, str]]:
    """What was moved of one user. Raises Error."""
    if os.path.isfile(name):
        message = f"{name!a} is a file, not a user; files of other programs are imported"
        raise Error(message, "pam-totp import --help")
    account = find(name)
    try:
        source, target = _way_of(account, active)
        if old is not None:
            source = _renamed(account, old)
        moved = _move(source, target, active)
        if not moved and target.read(secret.NAME) is None:
            raise Error(f"{name} has no secret in {source.path}", "pam-totp users")
        return moved
    except Failure as refused:
        detail = repair_for_root(refused.detail, account)
        fault, hint = repair.split(detail, SecretDir(account).path)
        raise Error(f"cannot move the secret: {fault}", hint) from None


def _renamed(account: pwd.struct_passwd, old: str) -> SecretDir:
    """The system's store has a folder for each name, which usermod(8) does not rename."""
    try:
        pwd.getpwnam(old)
    except KeyError:
        return SecretDir(pwd.struct_passwd((old, *account[1:])), "system")
    raise Error(f"there is a user {old!a}; nothing was changed", command("migrate", old))


def _move(source: SecretDir, target: SecretDir, active: str) -> list[dict[str, str]]:
    """Moves every file: all are there, whole, before the first is removed here. Raises Error or
    Failure: then what is in place is active, and the next run goes on. Raises KeyboardInterrupt at
    the end."""
    moved: list[dict[str, str]] = []
    found, new = _what_to_move(source, target)
    if not found:
        return []
    forget_mark(target.account)
    try:
        with later():
            _save(target, new, active)
            for name in found:
                secret_removal.remove(source, name)
                moved.append(
                    {
                        "user": target.account.pw_name,
                        "from": f"{source.path}/{name}",
                        "to": f"{target.path}/{name}",
                    }
                )
            secret_removal.remove_empty_folder(source)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), target.path)
        raise Error(f"cannot move the secret: {fault}", hint) from None
    return moved


def _save(target: SecretDir, new: list[tuple[str, bytes]], active: str) -> None:
    """Saves what is new there, if a command that was interrupted has not done so; what is active
    then is in the log. Raises OSError or Failure."""
    unsynced = None
    try:
        if new:
            secret_writer.save(target, new, (new[-1][0], None))
    except state_dir.Unsynced as failure:
        unsynced = failure
    action_log.write(f"migrate-to-{active}", user=target.account.pw_name, by=caller())
    if unsynced is not None:
        raise unsynced


def _what_to_move(
    source: SecretDir, target: SecretDir
) -> tuple[list[str], list[tuple[str, bytes]]]:
    """The names of the files of the source; and what the target does not have of them, the secret
    last: it is of no use without its recovery codes. Raises Error if the target has another one, or
    Failure."""
    found, new = list[str](), list[tuple[str, bytes]]()
    for name in (secret.NAME, recovery.NAME):
        content = source.read(name)
        if content is None:
            continue
        existing = target.read(name)
        if existing is None:
            new.insert(0, (name, content))
        elif existing != content:
            message = f"{target.path}/{name} exists and differs; nothing was changed"
            paths = f"{source.path}/{name}", f"{target.path}/{name}"
            raise Error(message, f"diff {' '.join(map(quoted, paths))}")
        found.append(name)
    return found, new
