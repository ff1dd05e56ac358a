# SPDX-License-Identifier: MIT
"""`pam-totp doctor`: everything that is wrong with this machine, and every way to log in."""

import argparse
import dataclasses
import json
import os

from pam_totp.errors import for_root
from pam_totp.listing import counted, fit
from pam_totp.review.doctor import ways
from pam_totp.review.doctor.examine import examine
from pam_totp.review.doctor.findings import Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.guessing import chance_with, told
from pam_totp.review.sent_codes import accepted_in

HELP = "root: show every way to log in, and everything that is wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints all findings, the worst first. 0: there is none; 1: there are. Changes nothing."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    host = Host()
    found = examine(host)
    if options.json:
        findings = [dataclasses.asdict(each) for each in found]
        chance = chance_with(host.active.values, is_sent=bool(accepted_in(host.active.rules)))
        said = {"ways": ways.as_json(host), "chance_of_a_guesser": chance, "findings": findings}
        print(json.dumps(said, indent=2))
    else:
        print(fit(_as_text(host, found)))
    return 1 if found else 0


def _as_text(host: Host, found: list[Finding]) -> str:
    table = ways.table(host)
    lines = ["Ways to log in:", *(f"  {line}" for line in table.split("\n")), ""] if table else []
    is_sent = bool(accepted_in(host.active.rules))
    lines += [told(host.active.values, is_sent=is_sent), ""]
    for number, each in enumerate(found, 1):
        lines += [f" {number}. {each.severity}: {each.what}", f"   {each.consequence}"]
        lines += [f"   run: {each.command}", ""]
    lines.append(counted(len(found), "finding") if found else "")
    if not found:
        lines[-1] = "No fault was found."
    return "\n".join(lines)
