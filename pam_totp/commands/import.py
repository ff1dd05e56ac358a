# SPDX-License-Identifier: MIT
"""`pam-totp import`: enrolls users with what other programs keep of them.

Without --apply nothing is changed. The files of the other programs never are.
"""

import argparse
import os
import pwd
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pam_totp import progress, repair
from pam_totp.enrollment import adding_tokens, given_file, import_report, token_list
from pam_totp.enrollment.identity import find, no_user
from pam_totp.enrollment.import_options import (
    EXPORTS,
    GOOGLE,
    OATH,
    TOKENS,
    add_arguments,
    is_assigned,
)
from pam_totp.enrollment.import_row import IMPORTED, Task, fault, refusal
from pam_totp.enrollment.importing import enroll
from pam_totp.errors import Error, UsageError, for_root
from pam_totp.imports import assigning, choosing, google_authenticator, users_oath
from pam_totp.imports.found import Import, Unusable
from pam_totp.records.config import settings
from pam_totp.records.host.account import find as find_account
from pam_totp.records.storage import state_dir
from pam_totp.review import everybody
from pam_totp.review.in_time import AT_ONCE, NO_ANSWER, LookFailed, each_in_time
from pam_totp.review.user_row import fault_of_home, may_log_in
from pam_totp.rules.reasons import Failure

__all__ = ("HELP", "add_arguments", "run")

HELP = "root: enroll users with secrets of other programs, or tokens"

Given = TypeVar("Given")
MAX_COMPARED = 3  # unknown names of a users file, which may have thousands: with all that are known
DEVICE = "phone"  # what the export of an app is from


def run(options: argparse.Namespace) -> int:
    """Prints what becomes of each user. 1: some cannot be imported."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    if options.source in TOKENS and not is_assigned(options):
        entries, notes = _read(lambda: token_list.read(options))
        token_list.show(entries, notes, as_json=options.json)
        return 0
    active = settings.load()
    task = Task(
        source=options.source,
        device=DEVICE if options.source in EXPORTS else options.source,
        store=active.store,
        is_applied=options.apply,
        is_replacing=options.replace,
        is_of_many=options.source == OATH or getattr(options, "all", False),
    )
    rows = list[dict[str, Any]]()
    try:
        for row in _rows(options, task, active.window_steps):
            rows.append(row)
    except LookFailed as failure:
        raise Error(f"not all users were looked at: {failure}", "run the command again") from None
    except KeyboardInterrupt:
        done = sum(row["outcome"] == IMPORTED for row in rows)
        message = f"interrupted; users who were imported, each wholly: at least {done}"
        raise Error(message, "run the command again") from None
    import_report.print_report(rows, is_applied=options.apply, as_json=options.json)
    return 0


def _rows(options: argparse.Namespace, task: Task, window: int) -> Iterator[dict[str, Any]]:
    if options.source == GOOGLE:
        yield from _of_homes(options, task, window)
    elif options.source == OATH:
        yield from _of_users_file(given_file.read(options.file, has_secrets=True), task)
    elif options.source in TOKENS:
        yield from _of_tokens(options, task)
    else:
        yield _of_export(options, task)


def _each(
    items: list[pwd.struct_passwd], look: Callable[[pwd.struct_passwd], dict[str, Any] | None]
) -> Iterator[dict[str, Any]]:
    """The row of each user, from processes of their own: a home may never answer."""
    looks = each_in_time(items, look, max_untold=AT_ONCE)
    for account, row in progress.told(looks, len(items), "users"):
        if row is NO_ANSWER:
            message = "no answer within 5 seconds; what was done is not known"
            yield fault(account.pw_name, message, "run the command again")
        elif row is not None:
            yield row


def _of_homes(options: argparse.Namespace, task: Task, window: int) -> Iterator[dict[str, Any]]:
    if options.all == bool(options.names):
        raise UsageError("name users, or use --all", f"pam-totp import {GOOGLE} --help")
    accounts = _everybody() if options.all else [find(name) for name in options.names]
    name, now = google_authenticator.NAME, time.time()

    def look(account: pwd.struct_passwd) -> dict[str, Any] | None:
        try:
            content = given_file.Home(account, name).read(name)
            if content is None:
                missing = f"there is no {account.pw_dir}/{name}"
                return None if options.all else fault(account.pw_name, missing)
            return enroll(account, google_authenticator.read(content, now, window), task)
        except Unusable as unusable:
            message = f"{account.pw_dir}/{name}: {unusable.message}"
            return fault(account.pw_name, message, unusable.hint)
        except Failure as refused:
            if options.all and (fault_of_home(account) or not may_log_in(account)):
                return None  # a system account, mostly: nobody logs in with a file there
            return refusal(account, refused.detail)

    yield from _each(accounts, look)


def _everybody() -> list[pwd.struct_passwd]:
    try:
        return everybody.accounts(set())
    except Failure as refused:
        raise Error(*repair.split(refused.detail, state_dir.VAR.path)) from None


def _of_users_file(content: bytes, task: Task) -> Iterator[dict[str, Any]]:
    users = _read(lambda: users_oath.read(content, time.time()))
    yield from _of_names(users.imports, users.faults, lambda each, given: enroll(each, given, task))


def _of_names(
    given: dict[str, Given],
    faults: dict[str, str],
    look: Callable[[pwd.struct_passwd, Given], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """The rows of users whom a file names, with what each gets, and those of its faults."""
    accounts, known = list[pwd.struct_passwd](), dict[str, str]()
    hint = "correct the file, and run the command again"
    unknown = {name: (message, hint) for name, message in faults.items()}
    for name in given:
        try:
            account = find_account(name)
        except Failure:
            error = no_user(name, is_compared=len(unknown) < MAX_COMPARED)
            unknown[name] = error.message, error.hint
            continue
        if account.pw_name in known:
            unknown[name] = f"the file has the same user as {known[account.pw_name]!a}, too", hint
            continue
        known[account.pw_name] = name
        accounts.append(account)
    yield from (fault(name, *words) for name, words in unknown.items())
    yield from _each(accounts, lambda each: look(each, given[known[each.pw_name]]))


def _of_export(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    account = find(options.user)
    reader, _ = EXPORTS[options.source]
    content = given_file.read(options.file, has_secrets=True)
    entries = _read(lambda: reader(content))
    chosen = _read(lambda: choosing.choose(entries, options.entry or []))
    for entry in chosen:
        if entry.found is None:
            return fault(account.pw_name, f"the entry {entry.name!r}: {entry.fault}")
    found = tuple(entry.found for entry in chosen if entry.found is not None)
    told = tuple(("entry", f"kept: {entry.name}") for entry in chosen)
    return enroll(account, Import(credentials=found, options=told), task)


def _of_tokens(options: argparse.Namespace, task: Task) -> Iterator[dict[str, Any]]:
    account = find(options.user) if options.user else None
    table = given_file.read(options.assign) if options.assign else b""
    entries, notes = _read(lambda: token_list.read(options))
    if account is not None:
        chosen = _read(lambda: assigning.chosen(entries, options.entry or []))
        yield adding_tokens.add(account, chosen, notes, task)
        return
    assigned = _read(lambda: assigning.by_user(entries, table))
    yield from token_list.faults(entries)
    yield from _of_names(
        assigned.tokens,
        assigned.faults,
        lambda each, tokens: adding_tokens.add(each, tokens, notes, task),
    )


def _read(reader: Callable[[], Any]) -> Any:
    """What a reader finds. Raises Error."""
    try:
        return reader()
    except Unusable as unusable:
        hint = import_report.whole_hint(unusable.hint)
        raise Error(unusable.message, hint or "pam-totp import --help") from None
