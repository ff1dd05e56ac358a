# SPDX-License-Identifier: MIT
"""`pam-totp migrate`: moves secrets into the active store, or to the new name of a user."""

import argparse
import json
import os
import pwd
from typing import Any

from pam_totp import repair
from pam_totp.enrollment.identity import find
from pam_totp.enrollment.migrating import move
from pam_totp.errors import Error, UsageError, command, for_root, printable, quoted
from pam_totp.fleet import login_host, people
from pam_totp.listing import counted, fit
from pam_totp.migration import by_file
from pam_totp.migration.in_time import Move, Rows, all_accounts, move_in_time
from pam_totp.migration.into_fleet import IntoStore, remove_left_behind
from pam_totp.records.config import settings
from pam_totp.records.storage.secret_dir import STORES, SecretDir, stores_of
from pam_totp.records.user import secret
from pam_totp.rules.reasons import Failure
from pam_totp.rules.repair_for_root import repair_for_root

HELP = "root: move secrets into the active store"
_NO_CODES = (
    "Recovery codes were not moved. To make new ones for a user, run: "
    "pam-totp recovery-codes --fleet --user USER"
)
_COPIED = (
    "The secrets of {0} are in {1}. Everyone who reads it can make their codes.\n"
    "Copy it to a database server, and run there: pam-totp migrate --fleet --from FILE\n"
    "Then remove both copies. Recovery codes are not in it. After store: postgresql is set\n"
    "on this host, remove the secrets here: pam-totp migrate --all --remove"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp migrate`."""
    parser.add_argument("name", metavar="USER", nargs="?")
    parser.add_argument("--all", action="store_true", help="move the secrets of all users")
    parser.add_argument("--renamed-from", metavar="OLD", help="the name that the user had before")
    people.add_options(parser, "move secrets into the store of the fleet")
    parser.add_argument(
        "--write", metavar="FILE", help="with --all: only copy the secrets to a file"
    )
    parser.add_argument(
        "--from", dest="source", metavar="FILE", help="with --fleet: such a file; - for stdin"
    )
    parser.add_argument(
        "--add-devices",
        action="store_true",
        help="with --fleet: also for users who have another secret in the fleet, or were reset "
        "there",
    )
    parser.add_argument(
        "--remove",
        action="store_true",
        help="with --fleet: also remove secrets that logins here use; on a login host: those of "
        "users in the store",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Moves secrets and recovery codes: first there, then not here. What is in place already is no
    error. 1: some of `--all` could not be moved."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    _refuse_misuse(options)
    active = settings.load().store
    moved: Rows = []
    faults: Rows = []
    try:
        if options.write:
            copied = by_file.write(options.write, all_accounts(), active, faults)
            return _report_copies(options, copied, faults)
        if options.source:
            moved = by_file.put_all(options.source, adds=options.add_devices, faults=faults)
        elif options.all or options.fleet or active == settings.FLEET:
            accounts = all_accounts() if options.all else [find(options.name)]
            move_in_time(accounts, _way(options, active), moved, faults)
        else:
            moved = _move_one(options.name, options.renamed_from, active)
    except KeyboardInterrupt:
        count = len({each["user"] for each in moved})
        message = f"interrupted; users whose secrets were moved, each wholly: at least {count}"
        raise Error(message, "run the command again") from None
    if options.json:
        found: dict[str, Any] = {"changed": bool(moved), "moved": moved, "not_moved": faults}
        print(json.dumps(found, indent=2))
    else:
        for each in moved:
            print(fit(_sentence(each)))
        if not moved and not faults:
            print("Nothing to move: every secret is in the active store.")
        if options.fleet and moved:
            print(fit(_NO_CODES))
    return _end(faults)


def _refuse_misuse(options: argparse.Namespace) -> None:
    whom = [options.all, options.name is not None, options.source is not None]
    if whom.count(True) != 1 or (options.all and options.renamed_from):
        raise UsageError("name one user, or use --all", "pam-totp migrate --help")
    if (options.source or options.add_devices) and not options.fleet:
        raise UsageError("--from and --add-devices need --fleet", "pam-totp migrate --help")
    if options.write and (options.fleet or not options.all):
        message = "--write copies the secrets of this host, and needs --all and no --fleet"
        raise UsageError(message, "pam-totp migrate --all --write FILE")
    if options.remove and not options.fleet and not login_host.is_this():
        raise UsageError(
            "--remove needs --fleet, or a login host of a fleet", "pam-totp migrate --help"
        )


def _way(options: argparse.Namespace, active: str) -> Move:
    """How each user's secret is moved. Raises Error where nobody's can be."""
    if options.fleet:
        with people.connected():
            pass
        return IntoStore(active, adds=options.add_devices, removes=options.remove).move
    if active == settings.FLEET:
        return remove_left_behind
    return lambda account: (move(*_way_of(account, active), active), "")


def _sentence(row: dict[str, Any]) -> str:
    name = printable(row["user"])
    if "from" not in row:
        return f"{name} is in the store of the fleet now."
    if row["to"] != settings.FLEET:
        return f"moved {printable(row['from'])} to {printable(row['to'])}"
    path = printable(row["from"])
    end = f"removed {path}" if row["removed"] else f"kept {path}, because logins here use it"
    return f"{name} is in the store of the fleet; {end}"


def _report_copies(options: argparse.Namespace, copied: Rows, faults: Rows) -> int:
    if options.json:
        found = {"changed": True, "file": options.write, "copied": copied, "not_copied": faults}
        print(json.dumps(found, indent=2))
    else:
        print(fit(_COPIED.format(counted(len(copied), "user"), quoted(options.write))))
    return _end(faults)


def _end(faults: Rows) -> int:
    if faults:
        users = ", ".join(f"{each['user']} ({each['fault']})" for each in faults)
        raise Error(f"cannot move the secrets of {users}", "pam-totp users")
    return 0


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
        moved = move(source, target, active, is_last=True)
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
