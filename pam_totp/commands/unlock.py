# SPDX-License-Identifier: MIT
"""`pam-totp unlock`: ends a user's wait after incorrect codes."""

import argparse
from contextlib import closing

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.storage import state_dir
from pam_totp.records.user import attempts, recovery, remembered
from pam_totp.rules.reasons import Failure
from pam_totp.rules.throttle import clear, wait_seconds, whole_seconds
from pam_totp.signals import finish_undisturbed

HELP = "root: end a user's wait after incorrect codes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp unlock`."""
    parser.add_argument("name", metavar="USER")


def run(options: argparse.Namespace) -> int:
    """Ends the wait after incorrect codes. Used codes stay used, and codes that were tried within
    the last 30 days stay counted, so that a guesser gains nothing by it."""
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
    except OSError as failure:
        folder = state_dir.RUN.path
        fault, hint = repair.split(failure.strerror or str(failure), folder)
        raise Error(f"{folder}: {fault}", hint) from None
    except Failure as failure:
        raise Error(*repair.split(failure.detail, state_dir.RUN.path)) from None
    action_log.write("unlock", user=account.pw_name, by=caller())
    if left > 0:
        print("Too many codes were tried in the last 30 days, so guessing is slowed down further.")
        print(f"{account.pw_name} can try again in {whole_seconds(left)} seconds, or now with a")
        print("recovery code.")
    else:
        print(f"{account.pw_name} can try again now.")
    return 0
