# SPDX-License-Identifier: MIT
"""`pam-totp reset`: removes a user's enrollment and all state."""

import argparse
import json
import os
import pwd
import sys
from collections.abc import Callable
from functools import partial

from pam_totp import repair
from pam_totp.contacts import resetting
from pam_totp.enrollment import used_there
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller, find
from pam_totp.enrollment.secret_files import remove_secrets
from pam_totp.enrollment.terminal import is_confirmed, say
from pam_totp.errors import Error, UsageError, again, command
from pam_totp.fleet import people
from pam_totp.fleet.user_names import refuse_impossible
from pam_totp.imports.google_authenticator import NAME as GOOGLE_FILE
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import stores_of
from pam_totp.records.user import enforced, grant, pending, remembered, sent
from pam_totp.review.in_time import AT_ONCE, NO_ANSWER, LookFailed, each_in_time
from pam_totp.review.looking import MAX_CHANGE_SECONDS, UNCHANGED_WORDS
from pam_totp.rules.enrollment import BY
from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.reasons import Failure
from pam_totp.signals import finish_undisturbed

HELP = "root: remove a user's enrollment"

# Adds to the paths that were removed, and to those that were kept.
Removal = Callable[[list[str], list[str]], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp reset`."""
    parser.add_argument("name", metavar="USER")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    people.add_options(parser, "reset the user in the whole fleet", json=True)
    parser.add_argument(
        "--unknown",
        action="store_true",
        help="with --fleet: also a user whom the store does not know, and only hosts remember",
    )


def run(options: argparse.Namespace) -> int:
    """Removes secret, recovery codes, grants and all records of the user. 0: also if there was
    nothing to remove."""
    people.refuse_json_without(options)
    if options.unknown and not options.fleet:
        raise UsageError("--unknown needs --fleet", "pam-totp reset --help")
    if options.fleet:
        return _reset_in_fleet(options)
    account = find(options.name)
    _confirm(
        options,
        f"This removes the second factor of {account.pw_name}: the secret and the recovery\n"
        "codes in every store, the contacts to which codes are sent, the record of\n"
        "earlier logins with a code, grants, and recent attempts.",
    )
    finish_undisturbed()
    forget_mark(account)
    known = resetting.contacts_of(account)
    removed, kept = list[str](), list[str]()  # paths
    fault = hint = ""
    try:
        _remove_everything(account, removed, kept)
    except Error as failure:
        fault, hint = failure.message, failure.hint
    except Failure as failure:
        fault, hint = repair.split(failure.detail, state_dir.VAR.path)
    except LookFailed as failure:
        fault, hint = str(failure), "run the command again"
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), state_dir.VAR.path)
    if removed or fault:
        action_log.write("reset-in-part" if fault else "reset", user=account.pw_name, by=caller())
    print("".join(f"removed {path}\n" for path in removed), end="")
    for path in kept:
        print(f"kept {path}, because {account.pw_dir}/{GOOGLE_FILE} may have these used codes")
    if fault:
        raise Error(f"not everything was removed: {fault}", hint)
    if not removed:
        print(f"{account.pw_name} has no second factor, so there was nothing to remove.")
        return 0
    print(f"{account.pw_name} is no longer enrolled.")
    print(resetting.how_to_set_again(account.pw_name, known), end="")
    if settings.load().enrollment.mode in (REQUIRED, BY):
        print("Until the user enrolls, logins that require a code are refused. To allow one:")
        print(command("grant", account.pw_name, options=["--for", "30m", "--once"]))
    return 0


def _confirm(options: argparse.Namespace, what: str) -> None:
    """Says what will be removed, and asks. Raises Error."""
    is_asked = not options.yes and sys.stdin.isatty()
    if is_asked or not options.json:
        (say if is_asked else print)(what)
    if not options.yes:
        if not sys.stdin.isatty():
            raise Error(
                "standard input is not a terminal; nothing was changed",
                again("--yes"),
            )
        if not is_confirmed("Continue?"):
            raise Error("not confirmed; nothing was changed", "answer y, or use --yes")


def _reset_in_fleet(options: argparse.Namespace) -> int:
    """Also if there was nothing to remove. What hosts remember of the user's logins no longer
    counts for them."""
    with people.connected() as store:
        name = options.name
        was_enrolled = False
        if known := people.people(store, [name]):
            was_enrolled = known[0].state == people.ENROLLED
            what = "the secret, the recovery codes and the invitation"
            what = f"This removes the second factor of {name} in the fleet: {what}."
        elif not options.unknown:
            raise people.unknown(store, name)
        else:
            refuse_impossible([name])
            what = (
                f"The store does not know {name} yet. After this, hosts where this user has logged"
            )
            what += "\nin with a code no longer refuse the user because of that."
        _confirm(options, what)
        finish_undisturbed()
        changed = people.reset(store, name)
    if changed:
        action_log.write("reset-in-fleet", user=name, by=caller())
    if options.json:
        print(json.dumps({"changed": changed, "user": name}, indent=2))
        return 0
    print(f"{name} {'is no longer' if was_enrolled else 'was not'} enrolled.")
    print(f"To let the user enroll again, run: {command('invite', name)}")
    removal = command("contact", name, options=["--remove"])
    print(f"Each host keeps the contacts that it has. To remove them, run there: {removal}")
    return 0


def _remove_everything(account: pwd.struct_passwd, removed: list[str], kept: list[str]) -> None:
    # The record of earlier logins goes last: a reset that fails half-way must not exempt anybody.
    # Root's own store goes first, as the user's home may never answer.
    for store in reversed(stores_of(account)):
        _remove_in_time(account, partial(remove_secrets, account, store), removed, kept)
    if grant.revoke(account.pw_uid):
        removed.append(f"{state_dir.VAR.path}/{grant.KIND}/{account.pw_uid}")
    removed += resetting.remove(account)
    for kind in (pending.KIND, remembered.KIND, sent.KIND):
        if state_dir.RUN.remove(kind, account.pw_uid):
            removed.append(f"{state_dir.RUN.path}/{kind}/{account.pw_uid}")
    _remove_in_time(account, partial(_forget, account), removed, kept)
    if state_dir.VAR.remove(enforced.KIND, account.pw_uid):
        removed.append(f"{state_dir.VAR.path}/{enforced.KIND}/{account.pw_uid}")
    state = f"{state_dir.RUN.path}/{account.pw_uid}"
    if os.path.lexists(state):
        os.unlink(state)
        removed.append(state)


def _remove_in_time(
    account: pwd.struct_passwd, remove: Removal, removed: list[str], kept: list[str]
) -> None:
    """What looks into the home, in a process that can be killed. Adds to both lists. Raises
    Error."""

    def look(_: object) -> tuple[list[str], list[str], str, str]:
        mine: tuple[list[str], list[str]] = [], []
        try:
            remove(*mine)
        except Error as failure:
            return *mine, failure.message, failure.hint
        except Failure as failure:
            return *mine, *repair.split(failure.detail, state_dir.VAR.path)
        except OSError as failure:
            return *mine, *repair.split(failure.strerror or str(failure), state_dir.VAR.path)
        return *mine, "", ""

    for _, answer in each_in_time([account.pw_name], look, MAX_CHANGE_SECONDS, AT_ONCE):
        if answer is NO_ANSWER:
            message = f"the home {account.pw_dir!a} gives {UNCHANGED_WORDS}"
            raise Error(message, "unmount what does not answer, and run the command again")
        removed += answer[0]
        kept += answer[1]
        if answer[2]:
            raise Error(*answer[2:])


def _forget(account: pwd.struct_passwd, removed: list[str], kept: list[str]) -> None:
    for found, paths in zip(used_there.forget(account), (removed, kept), strict=True):
        paths += found
