# SPDX-License-Identifier: MIT
"""`pam-totp enroll --users` and `--group`: secrets for many users at once, with a sheet for each.

No code proves these secrets, so they are unconfirmed until the first login with one
(pam_totp.review.unconfirmed). Each user is enrolled whole, or not at all; what a command that was
killed has left is finished by the next (pam_totp.sheets.folder).
"""

import argparse
import os
import pwd
import time
from collections.abc import Sequence
from contextlib import closing

from pam_totp import progress
from pam_totp.enrollment import save
from pam_totp.enrollment.devices import is_id
from pam_totp.enrollment.identity import caller
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error, UsageError, for_root
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.state_dir import Halfway, Unsynced
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import UNCONFIRMED, line_of
from pam_totp.review.looking import LookFailed
from pam_totp.rules.reasons import Failure
from pam_totp.sheets import names
from pam_totp.sheets.folder import Row, SheetFolder
from pam_totp.sheets.made import Plan
from pam_totp.sheets.options import OF_ONE, chosen_by
from pam_totp.sheets.page import Around
from pam_totp.sheets.preparing import prepared
from pam_totp.sheets.states import DONE, ENROLL, FAULT, FINISH, SKIP, State, states
from pam_totp.sheets.table import Table
from pam_totp.sheets.texts import texts_of
from pam_totp.signals import later


def run(options: argparse.Namespace, device: str) -> int:
    """Enrolls all that can be, on `device` if none was named. Raises Error, also if some users
    could not be enrolled: the others are."""
    refuse_misuse(options)
    if os.geteuid() != 0:
        raise for_root("with --users or --group, this command must be run as root")
    os.umask(0o077)
    active = settings.load()
    day = time.strftime("%Y-%m-%d")
    around = Around(texts_of(options.language), host_name(), options.contact or "", day)
    plan = Plan(around, chosen_by(options, active), options.device or device)
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
        crowd = Crowd(folder, active, plan)
        for name in gone:
            crowd.skip(name, "there is no such user", is_fault=True)
        try:
            crowd.enroll(accounts, replaces=options.replace)
            if table is not None:
                table.write(crowd.rows)
        except KeyboardInterrupt:
            raise Error(f"interrupted; {crowd.so_far()}", "run the command again") from None
        except LookFailed as failure:
            raise Error(f"{failure}; {crowd.so_far()}", "run the command again") from None
        except Error as error:
            raise Error(f"{error.message}; {crowd.so_far()}", error.hint) from None
        finally:
            for line in crowd.said:
                print(fit(line))
    said = crowd.so_far()
    print(f"{said[0].upper()}{said[1:]}.")
    if crowd.faults:
        raise Error(f"users that could not be enrolled: {crowd.faults:,}", "pam-totp users")
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
    """Those to enroll. said: a line for each who was skipped; rows: of the sheets that are there;
    faults: how many could not be enrolled."""

    def __init__(self, folder: SheetFolder, active: settings.Settings, plan: Plan) -> None:
        self._folder, self._active, self._plan = folder, active, plan
        self.said: list[str] = []
        self.rows: list[Row] = []
        self.faults = self._new = self._total = 0

    def so_far(self) -> str:
        """In words."""
        return f"enrolled {self._new:,} of {self._total:,} users, sheets in {self._folder.path}"

    def skip(self, name: str, why: str, *, is_fault: bool) -> None:
        """Keeps a line for the end: now it would run into that of the progress."""
        self.faults += is_fault
        self.said.append(f"skipped {name}: {why}")

    def enroll(self, accounts: Sequence[pwd.struct_passwd], *, replaces: bool) -> None:
        """All of them. Raises Error, LookFailed or KeyboardInterrupt, between two of them."""
        self._total = len(accounts)
        todo = []
        for state in states(list(accounts), self._active, self._folder, replaces=replaces):
            if state.what == ENROLL:
                todo.append(state)
            else:
                self._settle(state)
        moment = time.strftime("%Y-%m-%dT%H%M")  # without a colon, at which apps split a label
        jobs = [
            (state.account.pw_name, moment if state.existing is not None else "") for state in todo
        ]
        making = prepared(jobs, self._plan, self._folder.leave)
        telling = progress.told(making, len(todo), "users", with_rate=True)
        with closing(making), closing(telling):
            for state, made in zip(todo, telling, strict=True):
                if isinstance(made, str):
                    self.skip(state.account.pw_name, made, is_fault=True)
                else:
                    self._save(state, *made)

    def _settle(self, state: State) -> None:
        """Where there is nothing to make."""
        name = state.account.pw_name
        if state.what == FINISH:
            self._finish(name)
        if state.what == DONE:
            self._keep_row(name)
        if state.what in (DONE, SKIP):
            self._folder.discard(name)  # of a secret that is not there any more
        if state.what in (DONE, SKIP, FAULT):
            self.skip(name, state.why, is_fault=state.what == FAULT)

    def _save(self, state: State, uri: str, hashed: bytes, document: str) -> None:
        """The sheet first, then the secret, then the sheet's name. Raises Error."""
        account, name = state.account, state.account.pw_name
        secret_dir = NamingSecretDir(account, self._active.store)
        line = line_of(uri, self._plan.device, time.time(), UNCONFIRMED)
        content = f"{secret.HEADER}{line}\n".encode()
        # The codes first, and always: old ones are never good beside a new secret.
        files = [(recovery.NAME, hashed), (secret.NAME, content)]
        self._folder.write(name, document)
        with later():
            fault = ""
            try:
                secret_writer.save(secret_dir, files, (secret.NAME, state.existing))
            except Unsynced as failure:
                said = f"{name}: saved, but a power failure may undo it: {failure.strerror}"
                self.said.append(said)
            except Halfway as failure:
                fault = (
                    f"{failure.strerror}; the recovery codes are void, and the secret is as it was"
                )
            except Failure as refused:
                fault = save.refusal("the secret", refused, secret_dir).message
            except OSError as failure:
                fault = f"cannot save the secret: {failure.strerror}; nothing was changed"
            if fault:
                self._folder.discard(name)
                self.skip(name, fault, is_fault=True)
                return
            action_log.write("enroll", user=name, by=caller())
            self._finish(name)

    def _finish(self, name: str) -> None:
        """The user is enrolled, and the sheet gets its name."""
        self._new += 1
        self._folder.publish(name)
        self._keep_row(name)

    def _keep_row(self, name: str) -> None:
        row = self._folder.find(name)
        self.rows += [row] if row else []
