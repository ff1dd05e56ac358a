# SPDX-License-Identifier: MIT
"""`pam-totp grant`: lets a user log in without a code, for a while or once."""

import argparse
import pwd
import time

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.duration import seconds
from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error, UsageError, command
from pam_totp.listing import fit
from pam_totp.records.host import action_log
from pam_totp.records.storage import state_dir
from pam_totp.records.user import grant, granting
from pam_totp.rules.reasons import Failure
from pam_totp.signals import finish_undisturbed

HELP = "root: let a user log in without a code for a while"

USUAL_SECONDS = 30 * 60

_FOLDER = f"{state_dir.VAR.path}/{grant.KIND}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp grant`."""
    parser.add_argument("name", metavar="USER")
    parser.add_argument(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=seconds,
        help="how long, such as 30m, 2h or 1d (default: 30m)",
    )
    parser.add_argument("--once", action="store_true", help="for one login within that time")
    parser.add_argument("--end", action="store_true", help="end the existing grant")


def run(options: argparse.Namespace) -> int:
    """Records or ends a grant. Raises Error."""
    account = find(options.name)
    if options.end:
        if options.once or options.seconds:
            message = "--end cannot be combined with --for or --once"
            raise UsageError(message, _command_to_end(account))
        return _end_grant(account)
    now = int(time.time())
    until = now + (options.seconds or USUAL_SECONDS)
    finish_undisturbed()
    forget_mark(account)
    try:
        granting.give(account.pw_uid, grant.Grant(since=now, until=until, once=options.once))
    except Failure as failure:
        raise Error(*repair.split(failure.detail, _FOLDER)) from None
    except state_dir.Unsynced as failure:
        action_log.write("grant", user=account.pw_name, by=caller())
        message = f"the grant is active, but a power failure may undo it: {failure.strerror}"
        raise Error(message, _command_to_end(account)) from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), _FOLDER)
        raise Error(f"cannot record the grant: {fault}; nothing was changed", hint) from None
    action_log.write("grant", user=account.pw_name, by=caller())
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))
    what = "once without a code" if options.once else "without a code"
    print(fit(f"{account.pw_name} can log in {what} until {when}."))
    print(f"To end the grant, run: {_command_to_end(account)}")
    return 0


def _command_to_end(account: pwd.struct_passwd) -> str:
    return command("grant", account.pw_name, options=["--end"])


def _end_grant(account: pwd.struct_passwd) -> int:
    finish_undisturbed()
    try:
        ended = grant.revoke(account.pw_uid)
    except state_dir.Unsynced as failure:
        action_log.write("grant-ended", user=account.pw_name, by=caller())
        message = f"the grant has ended, but a power failure may undo that: {failure.strerror}"
        raise Error(message, "sync") from None
    except Failure as failure:
        raise Error(*repair.split(failure.detail, _FOLDER)) from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), _FOLDER)
        raise Error(f"cannot end the grant: {fault}; nothing was changed", hint) from None
    if not ended:
        raise Error(f"{account.pw_name} has no grant", "pam-totp users")
    action_log.write("grant-ended", user=account.pw_name, by=caller())
    print(f"The grant of {account.pw_name} has ended.")
    return 0
