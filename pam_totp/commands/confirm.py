# SPDX-License-Identifier: MIT
"""`pam-totp confirm`: keeps the change that is on trial, from another session."""

import argparse
import json
import os

from pam_totp.errors import Error, for_root
from pam_totp.setup import apply, journal
from pam_totp.setup.record import Record

HELP = "root: keep what is on trial"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp confirm`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Keeps it. Raises Error where no trial runs and the last change was taken back."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    is_changed = bool(apply.running_trials())
    kept = apply.keep() if is_changed else _kept_before()
    services = ", ".join(kept.change.services)
    if options.json:
        shown = {
            "changed": is_changed,
            "kind": kept.change.kind,
            "services": kept.change.services,
            "files": [file.path for file in kept.change.files],
            "backups": kept.backups,
        }
        print(json.dumps(shown, indent=2))
    elif not is_changed:
        print(f"Already kept: {kept.change.kind} {services}. Nothing was changed.")
    else:
        print(f"Kept: {kept.change.kind} {services}.")
        for file in kept.change.files:
            print(f"  {file.path}")
        print(f"The files as they were before are in {kept.backups}.")
    return 0


def _kept_before() -> Record:
    last = journal.last()
    if last is None:
        raise Error("no trial is running", "pam-totp enable sshd")
    record, how = last
    again = f"pam-totp {record.change.kind} {' '.join(record.change.services)}"
    if how != journal.KEPT:
        raise Error("no trial is running, and the last one was taken back", again)
    return record
