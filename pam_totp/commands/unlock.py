# SPDX-License-Identifier: MIT
"""`pam-totp unlock`: ends a user's wait after incorrect codes, and the limit of sent codes."""

import argparse
import json
import os
from contextlib import closing

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error, command
from pam_totp.fleet import login_host, people
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.lock import lock
from pam_totp.records.user import attempts, recovery, remembered
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.throttle import clear, wait_seconds, whole_seconds
from pam_totp.sending.limits import KIND, SECONDS_TO_LOCK
from pam_totp.signals import finish_undisturbed

HELP = "root: end a user's wait after incorrect codes"

NOT_COUNTED = "Codes that were sent before no longer count against the user's limit."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp unlock`."""
    parser.add_argument("name", metavar="USER")
    people.add_options(parser, "end the wait in the whole fleet", json=True)


def run(options: argparse.Namespace) -> int:
    """Ends the wait after incorrect codes. Used codes stay used, and codes that were tried within
    the last 30 days stay counted, so that a guesser gains nothing by it. Codes that were sent to
    the user no longer count against the user's limit."""
    people.refuse_json_without(options)
    if options.fleet:
        return _unlock_in_fleet(options)
    if login_host.is_this():
        return _unlock_at_login_host(options)
    account = find(options.name)
    limits = settings.load().limits
    forget_mark(account)
    try:
        with closing(attempts.Attempts(account.pw_uid)) as record:
            finish_undisturbed()
            record.steps.pop(recovery.INCORRECT, None)
            record.record(record.steps, clear(record.failures))
            left = wait_seconds(record.failures, attempts.boot_seconds(), limits)
        # The guesser may sit where a code was entered.
        state_dir.RUN.remove(remembered.KIND, account.pw_uid)
        had_codes_sent = _forget_sent(account.pw_uid)
    except OSError as failure:
        folder = state_dir.RUN.path
        fault, hint = repair.split(failure.strerror or str(failure), folder)
        raise Error(f"{folder}: {fault}", hint) from None
    except Failure as failure:
        raise Error(*repair.split(failure.detail, state_dir.RUN.path)) from None
    action_log.write("unlock", user=account.pw_name, by=caller())
    _say(account.pw_name, whole_seconds(left))
    if had_codes_sent:
        print(fit(NOT_COUNTED))
    return 0


def _unlock_at_login_host(options: argparse.Namespace) -> int:
    """Of what is ended, only codes that were sent are counted here. Raises Error where none were:
    the wait is the store's."""
    if os.geteuid() != 0:
        raise login_host.refusal("unlock", options)
    account = find(options.name)
    try:
        if not _forget_sent(account.pw_uid):
            raise login_host.refusal("unlock", options)
    except OSError as failure:
        raise Error(f"{state_dir.RUN.path}: {failure.strerror}", "pam-totp doctor") from None
    except Failure as failure:
        raise Error(*repair.split(failure.detail, state_dir.RUN.path)) from None
    action_log.write("unlock", user=account.pw_name, by=caller())
    print(fit(NOT_COUNTED))
    there = command("unlock", account.pw_name, options=["--fleet"])
    print(fit(f"The wait after incorrect codes is ended on a database server, by: {there}"))
    return 0


def _forget_sent(uid: int) -> bool:
    """Ends the count of codes that were sent to the user; whether there was one. The host's stays.
    Raises OSError or Failure."""
    folder = state_dir.RUN.open(KIND)
    if folder is None:
        return False
    with Opened(folder):  # a login that counts one would write the others back
        if not lock(folder, SECONDS_TO_LOCK):
            raise Failure(STATE_UNAVAILABLE, f"{state_dir.RUN.path}/{KIND} is locked")
        return state_dir.RUN.remove(KIND, uid)


def _unlock_in_fleet(options: argparse.Namespace) -> int:
    """The same for the whole fleet, by the store. It is no error if the user does not wait."""
    with people.connected() as store:
        name = people.person(store, options.name).name
        finish_undisturbed()
        changed = people.unlock(store, name)
        left = people.person(store, name).waiting_seconds
    if changed:
        action_log.write("unlock-in-fleet", user=name, by=caller())
    if options.json:
        print(json.dumps({"changed": changed, "user": name, "waiting_seconds": left}, indent=2))
    else:
        _say(name, left)
    return 0


def _say(name: str, left: int) -> None:
    if left > 0:
        print("Too many codes were tried in the last 30 days, so guessing is slowed down further.")
        print(f"{name} can try again in {left} seconds, or now with a")
        print("recovery code.")
    else:
        print(f"{name} can try again now.")
