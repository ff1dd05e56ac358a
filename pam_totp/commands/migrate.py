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
from pam_totp.errors import Error, UsageError, command, for_root, printable
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import STORES, SecretDir, stores_of
from pam_totp.records.user import enforced, secret
from pam_totp.review import everybody
from pam_totp.review.in_time import AT_ONCE, NO_ANSWER, LookFailed, each_in_time
from pam_totp.review.looking import MAX_CHANGE_SECONDS, UNCHANGED_WORDS, Stop
from pam_totp.review.user_row import fault_of_home, may_log_in
from pam_totp.rules.reasons import Failure
from pam_totp.rules.repair_for_root import repair_for_root
from pam_totp.signals import calling

HELP = "root: move secrets into the active store"
_SILENT = f"{UNCHANGED_WORDS}; run the command again"


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
    """Adds to both, by processes that can be killed: a home may never answer. Raises Error or
    KeyboardInterrupt, between two users."""
    stop = Stop()

    def look(account: pwd.struct_passwd) -> tuple[list[dict[str, str]], str]:
        """What was moved, and what is wrong."""
        if stop.is_told():
            return [], ""
        try:
            return move(*_way_of(account, active), active), ""
        except Error as fault:
            return [], fault.message
        except Failure as refused:
            is_open = may_log_in(account) and not fault_of_home(account)
            return [], refused.detail if is_open else ""

    try:
        with calling(stop.tell):
            for account, answer in each_in_time(_everybody(), look, MAX_CHANGE_SECONDS, AT_ONCE):
                found, fault = ([], _SILENT) if answer is NO_ANSWER else answer
                moved += found
                if fault:
                    faults.append({"user": account.pw_name, "fault": fault})
    except LookFailed as failure:
        message = f"not all secrets were moved: {failure}"
        raise Error(message, "run the command again") from None
    if stop.is_told():
        raise KeyboardInterrupt


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
