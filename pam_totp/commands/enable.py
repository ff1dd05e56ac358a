# SPDX-License-Identifier: MIT
"""`pam-totp enable`: has services ask for a code, once all that follows from it is proved."""

import argparse
import json
import os
import shlex
import sys

from pam_totp.enrollment.identity import caller
from pam_totp.enrollment.terminal import say
from pam_totp.errors import UsageError, for_root
from pam_totp.listing import fit
from pam_totp.setup import apply, diff, enabling, summary, trial
from pam_totp.setup.check_sshd import check_active
from pam_totp.setup.choosing import SSHD, SshdOptions
from pam_totp.setup.confirmation import confirm_change
from pam_totp.setup.enabling import Enabling
from pam_totp.setup.own_code import ask_code, enrolled, note_of_unenrolled
from pam_totp.setup.root_question import RootQuestion
from pam_totp.setup.sshd_settings import METHODS, ROOT_CODE, ROOT_KEY, ROOT_NO
from pam_totp.setup.told import add_options, told_by

HELP = "root: turn codes on for services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp enable`."""
    parser.add_argument("services", metavar="SERVICE", nargs="+", help="such as sshd, login, sudo")
    parser.add_argument(
        "--first-factor", choices=METHODS, default="", help="sshd: what comes before the code"
    )
    parser.add_argument(
        "--root",
        choices=(ROOT_CODE, ROOT_KEY, ROOT_NO),
        default="",
        help="sshd: root enters a code after the key, keeps the key alone, or cannot log in",
    )
    parser.add_argument(
        "--exempt-key",
        metavar="USER",
        action="append",
        default=[],
        help="sshd: this account logs in with its key alone",
    )
    parser.add_argument(
        "--no-exempt-key",
        metavar="USER",
        action="append",
        default=[],
        help="sshd: this account enters a code again",
    )
    add_options(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--trial",
        metavar="TIME",
        type=trial.duration,
        help="undo the change after this time unless it is kept (sshd: 10m)",
    )
    length.add_argument("--no-trial", action="store_true", help="keep the change at once")
    parser.add_argument("--dry-run", action="store_true", help="only show the change")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument(
        "--force", action="store_true", help="do not ask for a code, even if you have not enrolled"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Plans it, shows it, asks, and changes the files. Raises Error."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    if not options.dry_run:
        apply.refuse_during_a_change("enable")
    exempt, asked = tuple(options.exempt_key), tuple(options.no_exempt_key)
    is_answered = sys.stdin.isatty() and not (options.yes or options.dry_run)
    again = shlex.join(["pam-totp", "enable", *options.services, "--root", ROOT_CODE])
    found = enabling.prepare(
        options.services,
        SshdOptions(options.first_factor, options.root, exempt, asked),
        RootQuestion(again, is_possible=is_answered and not options.json),
        told_by(options),
    )
    if found.proposed and not is_answered and not options.dry_run:
        raise _not_chosen(found)
    if not found.change.files:
        if not options.json:
            print("".join(f"{fit(note)}\n" for note in found.notes), end="")
        return _report(options, found, "Already turned on; nothing was changed.", changed=False)
    if not options.json:
        print(f"{diff.of_change(found.change)}\n")  # not wrapped: each line is one of a file
        if text := summary.as_text(found):
            print(fit(text))
    if options.dry_run:
        _say_unenrolled(options, found, 0)
        return _report(options, found, "Nothing was changed (--dry-run).", changed=True)
    has_trial = sys.stdin.isatty() or not _is_tried_by_default(options, found)
    own = None if options.force else enrolled(found.person, has_trial=has_trial)
    seconds = _seconds(options, found)
    _say_unenrolled(options, found, seconds)
    if own is not None:
        ask_code(own)
    if not options.yes:
        confirm_change(json=options.json)
    if seconds:
        trial.run(
            found.change,
            seconds,
            check=lambda: _check(found),
            by=caller(),
            log_in=_log_in(found),
            again=shlex.join(["pam-totp", *sys.argv[1:]]),
            tell=(lambda text: say(text.removesuffix("\n"))) if options.json else None,
        )
    else:
        applied = apply.put_in(found.change, check=lambda: _check(found), by=caller())
        if not options.json:
            print("".join(f"{sentence}\n" for sentence in applied.said), end="")
            print(f"The files as they were before are in {applied.record.backups}.")
    names = ", ".join(found.change.services)
    hint = shlex.join(["pam-totp", "disable", *found.change.services])
    return _report(
        options,
        found,
        f"From now on these services ask for a code: {names}.\nTo undo it, run: {hint}",
    )


def _not_chosen(found: Enabling) -> UsageError:
    name, choice = next(iter(found.proposed.items()))
    message = f"{name} has a line that asks for codes of {choice.program}; nothing was changed"
    return UsageError(message, f"{shlex.join(['pam-totp', *sys.argv[1:]])} {choice.option}")


def _say_unenrolled(options: argparse.Namespace, found: Enabling, seconds: int) -> None:
    note = note_of_unenrolled(found.person, is_forced=options.force, seconds=seconds)
    if note and not options.json:
        print(fit(note))


def _is_tried_by_default(options: argparse.Namespace, found: Enabling) -> bool:
    return not options.no_trial and not options.trial and SSHD in found.change.services


def _seconds(options: argparse.Namespace, found: Enabling) -> int:
    """How long a trial lasts; 0 for none."""
    if not _is_tried_by_default(options, found):
        return int(options.trial or 0)
    if not sys.stdin.isatty():
        message = "standard input is not a terminal, so nobody could keep the trial"
        again = shlex.join(["pam-totp", *sys.argv[1:], "--no-trial"])
        raise UsageError(f"{message}; nothing was changed", again)
    return trial.duration(trial.USUAL)


def _check(found: Enabling) -> None:
    if found.expected:
        check_active(found.expected)


def _log_in(found: Enabling) -> str:
    name = found.change.services[0]
    how = f"with {name}" if name != SSHD else f"over ssh, as {found.person.name}"
    return f"Now log in from another terminal, {how}."


def _report(
    options: argparse.Namespace, found: Enabling, text: str, *, changed: bool = True
) -> int:
    if not options.json:
        print(text)
        return 0
    print(json.dumps(summary.as_object(found, changed=changed, dry_run=options.dry_run), indent=2))
    return 0
