# SPDX-License-Identifier: MIT
"""`pam-totp confirm`: keeps the change that is on trial, from another session."""

import argparse
import json
import os
import shlex
import sys

from pam_totp.enrollment.terminal import describe_seconds, is_confirmed, say
from pam_totp.errors import Error, for_root
from pam_totp.setup import apply, diff, journal, recorded
from pam_totp.setup.record import Record

HELP = "root: keep the change that is on trial"
_WORDS = {journal.KEPT: "kept", journal.TAKEN_BACK: "taken back"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp confirm`."""
    parser.add_argument("--take-back", action="store_true", help="undo the change at once instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Keeps it, or takes it back. Raises Error where no trial runs and what became of the last
    change is something else."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    wanted = journal.TAKEN_BACK if options.take_back else journal.KEPT
    running = apply.running_trials()
    if not running:
        record = _last(wanted)
        said = [f"Already {_WORDS[wanted]}: {_of(record)}. Nothing was changed."]
    elif options.take_back:
        (record,) = running
        said = list(apply.take_back(record, "another session took it back"))
    else:
        _ask_if_untried(running[0])
        record = apply.keep(running[0])
        files = [f"  {file.path}" for file in record.change.files]
        said = [f"Kept: {_of(record)}.", *files]
        said.append(f"The files as they were before are in {record.backups}.")
    if options.json:
        shown = {
            "changed": bool(running),
            "result": journal.became(record) or wanted,
            "verb": record.change.kind,
            "services": record.change.services,
            "files": diff.as_objects(record.change),
            "backups": record.backups,
        }
        said = [json.dumps(shown, indent=2)]
    print("\n".join(said))
    return 0


def _last(wanted: str) -> Record:
    """The newest change, if that is what became of it."""
    last = journal.last()
    if last is None:
        raise Error("no trial is running", "pam-totp doctor")
    record, how = last
    if record.deadline is None:  # the newest change was never on trial
        raise Error("no trial is running", "pam-totp doctor")
    if how != wanted:
        verb = {"enable": "disable", "disable": "enable"} if how == journal.KEPT else {}
        again = [verb.get(record.change.kind, record.change.kind), *record.change.services]
        message = f"no trial is running, and the last one was {_WORDS[how]}"
        raise Error(message, shlex.join(["pam-totp", *again]))
    return record


def _ask_if_untried(record: Record) -> None:
    """Of what nobody has tried, a person is asked, who may have typed a hint. Raises Error."""
    if recorded.is_noted(record) or not sys.stdin.isatty():
        return
    left = describe_seconds(int(record.seconds_left))
    say(f"On trial: {_of(record)}. It is taken back by itself in {left}.")
    say("Nobody has logged in with a code since it began, so people may be locked out.")
    if not is_confirmed("Keep it all the same?"):
        message = "not confirmed; the trial goes on"
        raise Error(message, "log in with a code first, or: pam-totp confirm --take-back")


def _of(record: Record) -> str:
    return f"{record.change.kind} {', '.join(record.change.services)}"
