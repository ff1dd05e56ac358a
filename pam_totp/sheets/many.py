# SPDX-License-Identifier: MIT
"""`pam-totp enroll --users` and `--group`: secrets for many users at once, with a sheet for each.

No code proves these secrets, so they are unconfirmed until the first login with one
(pam_totp.review.unconfirmed). Each user is enrolled whole, or not at all; what a command that was
killed has left is finished by the next (pam_totp.sheets.folder).
"""

import argparse
import json
import os
import pwd
import time
from collections.abc import Sequence
from contextlib import closing

from pam_totp import progress
from pam_totp.enrollment import picture
from pam_totp.enrollment.devices import is_id
from pam_totp.enrollment.symbol import rows_of
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error, UsageError, for_root
from pam_totp.listing import counted, fit
from pam_totp.records.config import settings
from pam_totp.review.looking import LookFailed, Stop
from pam_totp.sheets import names
from pam_totp.sheets.folder import SheetFolder
from pam_totp.sheets.made import Plan
from pam_totp.sheets.options import OF_ONE, chosen_by
from pam_totp.sheets.page import Around
from pam_totp.sheets.row import Row
from pam_totp.sheets.saving import NOT_TRIED, SAVED, STOPPED, UNSAVED, saved
from pam_totp.sheets.states import BEFORE, DONE, ENROLL, FAULT, FINISH, State, states
from pam_totp.sheets.table import Table
from pam_totp.sheets.texts import texts_of
from pam_totp.signals import calling

ENROLLED, UNKNOWN = "enrolled", "unknown"
OUTCOMES = {SAVED: ENROLLED, UNSAVED: FAULT, STOPPED: FAULT, NOT_TRIED: NOT_TRIED}


def run(options: argparse.Namespace, device: str) -> int:
    """Enrolls all that can be, on `device` if none was named. Raises Error, also if some users
    could not be enrolled: the others are."""
    refuse_misuse(options)
    if os.geteuid() != 0:
        raise for_root("with --users or --group, this command must be run as root")
    picture.refuse_without(png=options.pictures, logo=False)
    os.umask(0o077)
    active = settings.load()
    day = time.strftime("%Y-%m-%d")
    around = Around(texts_of(options.language), host_name(), options.contact or "", day)
    device = options.device or device
    plan = Plan(around, chosen_by(options, active), device, has_pictures=options.pictures)
    gone: list[str] = []
    if options.group is not None:
        accounts, gone = names.of_group(options.group)
    else:
        accounts = names.of_file(options.users)
    table = None
    if options.table is not None:
        cells = [plan.device, *(account.pw_name for account in accounts)]
        table = Table(options.table, options.age, cells)
    with SheetFolder(options.sheets) as folder:
        crowd = Crowd(accounts, gone, folder)
        try:
            crowd.enroll(active, plan, replaces=options.replace)
            if table is not None:
                table.write(crowd.rows())
        except KeyboardInterrupt:
            raise Error(f"interrupted; {crowd.so_far()}", "run the command again") from None
        except LookFailed as failure:
            raise Error(f"{failure}; {crowd.so_far()}", "run the command again") from None
        except Error as error:
            raise Error(f"{error.message}; {crowd.so_far()}", error.hint) from None
        finally:
            crowd.report(as_json=options.json)
    if not options.json:
        said = crowd.so_far()
        print(f"{said[0].upper()}{said[1:]}.")
    faults = crowd.count(FAULT)
    if faults:
        raise Error(f"users that could not be enrolled: {faults:,}", "pam-totp users")
    return 0


def refuse_misuse(options: argparse.Namespace) -> None:
    """Raises UsageError."""
    if (options.users is None) == (options.group is None) or options.sheets is None:
        message = "many users are enrolled with --users or --group, and --sheets"
        raise UsageError(message, "pam-totp enroll --users FILE --sheets DIR")
    if options.age is not None and options.table is None:
        raise UsageError("--age encrypts the table of --table", "pam-totp enroll --help")
    if options.device is not None and is_id(options.device):
        raise UsageError("--device takes no id with many users", "pam-totp enroll --help")
    if not options.qr:
        raise UsageError("--no-qr is for one user", "pam-totp enroll --help")
    for name, option in OF_ONE.items():
        if getattr(options, name, None):
            raise UsageError(f"{option} is for one user", "pam-totp enroll --help")


class Crowd:
    """Those to enroll, in their order, and what became of each: an outcome and a reason."""

    def __init__(
        self, accounts: Sequence[pwd.struct_passwd], gone: list[str], folder: SheetFolder
    ) -> None:
        self._accounts, self._folder = accounts, folder
        self._found = dict.fromkeys(gone, (FAULT, "there is no such user"))
        self._found |= {account.pw_name: (NOT_TRIED, "") for account in accounts}
        self._with_sheet = set[str]()

    def enroll(self, active: settings.Settings, plan: Plan, *, replaces: bool) -> None:
        """All of them. Raises Error, LookFailed or KeyboardInterrupt, between two of them."""
        todo = []
        for state in states(list(self._accounts), active, self._folder, replaces=replaces):
            if state.what == ENROLL:
                todo.append(state)
            else:
                self._settle(state, has_picture=plan.has_pictures)
        stop = Stop()
        saving = saved(todo, plan, active.store, self._folder, stop)
        telling = progress.told(saving, len(todo), "users", with_rate=True)
        failed: Error | None = None
        try:
            with calling(stop.tell), closing(saving), closing(telling):
                for state, (what, why, hint) in zip(todo, telling, strict=True):
                    if what == STOPPED:
                        failed = Error(why, hint)
                    self._note(state.account.pw_name, OUTCOMES[what], why)
        except LookFailed as failure:  # it has told what it had saved some moments before
            for name, (outcome, _) in self._found.items():
                if outcome == NOT_TRIED:
                    self._found[name] = UNKNOWN, "run the command again"
            raise Error(str(failure), "run the command again") from None
        if failed:
            raise failed
        if any(outcome == NOT_TRIED for outcome, _ in self._found.values()):
            raise KeyboardInterrupt

    def _settle(self, state: State, *, has_picture: bool) -> None:
        """Where there is nothing to make. Raises Error."""
        name = state.account.pw_name
        if state.what == FINISH:
            self._note(name, ENROLLED, "")
            self._folder.publish(name)
        elif state.what == DONE:
            self._note(name, BEFORE, state.why)
        else:
            self._found[name] = state.what, state.why
        if state.what != FAULT:
            self._folder.discard(name)  # of a secret that is not there any more
        row = self._folder.find(name) if name in self._with_sheet else None
        if has_picture and row:
            self._folder.add_picture(name, picture.png_of(rows_of(row.uri)))

    def _note(self, name: str, outcome: str, why: str) -> None:
        """Of a user who has a sheet, if enrolled."""
        self._found[name] = outcome, why
        if outcome in (ENROLLED, BEFORE):
            self._with_sheet.add(name)

    def rows(self) -> list[Row]:
        """Of the sheets, for the table."""
        names = [each.pw_name for each in self._accounts if each.pw_name in self._with_sheet]
        return [row for row in map(self._folder.find, names) if row]

    def count(self, outcome: str) -> int:
        """How many have it."""
        return sum(each == outcome for each, _ in self._found.values())

    def so_far(self) -> str:
        """In words."""
        total, before = len(self._found), self.count(BEFORE)
        if before == total:
            return f"{before:,} of {counted(total, 'user')} enrolled before"
        known = f" (enrolled before: {before:,})" if before else ""
        least = "at least " if self.count(UNKNOWN) else ""
        done = f"enrolled {least}{self.count(ENROLLED):,} of {counted(total, 'user')}{known}"
        return f"{done}, sheets in {self._folder.path}"

    def report(self, *, as_json: bool) -> None:
        """Prints what became of each user; as text, of those who were skipped."""
        if as_json:
            users = [
                {"user": name, "outcome": outcome, "reason": why}
                for name, (outcome, why) in self._found.items()
            ]
            changed = self.count(ENROLLED) > 0 or (None if self.count(UNKNOWN) else False)
            print(json.dumps({"changed": changed, "users": users}, indent=2))
            return
        for name, (outcome, why) in self._found.items():
            if outcome == ENROLLED and why:
                print(fit(f"{name}: {why}"))
            elif why and outcome != UNKNOWN:
                print(fit(f"skipped {name}: {why}"))
