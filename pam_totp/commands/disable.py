# SPDX-License-Identifier: MIT
"""`pam-totp disable`: takes out what `pam-totp enable` put in."""

import argparse
import json
import os
import shlex
import sys

from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error, UsageError, for_root
from pam_totp.listing import fit
from pam_totp.setup import apply, diff, disabling
from pam_totp.setup.confirmation import confirm_change
from pam_totp.setup.disabling import Disabling

DISABLE_ALL = "pam-totp disable --all"
HELP = "root: turn codes off for services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp disable`."""
    parser.add_argument("services", metavar="SERVICE", nargs="*", help="such as sshd, login, sudo")
    parser.add_argument("--all", action="store_true", help="every service that enable changed")
    parser.add_argument("--dry-run", action="store_true", help="only show the change")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument(
        "--force", action="store_true", help="even if it cannot be proved that users can log in"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Plans it, shows it, asks, and changes the files. Raises Error."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    if bool(options.services) == options.all:
        both = "name services or use --all, not both"
        raise UsageError(both if options.all else "name the services, or use --all", DISABLE_ALL)
    if not options.dry_run:
        apply.refuse_during_a_change("disable")
    services = disabling.enabled_services() if options.all else options.services
    found = disabling.prepare(services)
    if not found.change.files:
        return _report(
            options,
            found,
            "There is nothing that enable added; nothing was changed.",
            changed=False,
        )
    if found.doubts and not options.force:
        raise Error(f"{found.doubts[0]}; nothing was changed", _instead(options, found))
    if not options.json:
        print(f"{diff.of_change(found.change)}\n")
    if options.dry_run:
        return _report(options, found, "Nothing was changed (--dry-run).", changed=True)
    if not options.yes:
        confirm_change(json=options.json)
    applied = apply.put_in(found.change, by=caller())
    if not options.json:
        print("".join(f"{sentence}\n" for sentence in applied.said), end="")
    return _report(options, found, f"Turned off: {', '.join(found.change.services)}.", changed=True)


def _instead(options: argparse.Namespace, found: Disabling) -> str:
    """What to do where people might not get in."""
    words = ["pam-totp", *sys.argv[1:]]
    if not (found.also and options.services):
        # No bare command: pasted without a thought, it could shut everybody out.
        return f"if that may happen, run: {shlex.join([*words, '--force'])}"
    behind = words.index(options.services[-1]) + 1  # argparse takes names in one place only
    return shlex.join([*words[:behind], *found.also, *words[behind:]])


def _report(options: argparse.Namespace, found: Disabling, text: str, *, changed: bool) -> int:
    if not options.json:
        print("\n".join(fit(each) for each in (*found.notes, text)))
        return 0
    shown = {
        "changed": changed,
        "dry_run": options.dry_run,
        "services": found.change.services,
        "files": diff.as_objects(found.change),
        "notes": found.notes,
        "doubts": found.doubts,
    }
    print(json.dumps(shown, indent=2))
    return 0
