# SPDX-License-Identifier: MIT
"""`pam-totp explain`: what would happen at a login, by the code that decides at logins."""

import argparse
import json
import os
import pwd
from typing import Any

from pam_totp.access.facts import address_of
from pam_totp.enrollment.identity import find
from pam_totp.errors import Error, UsageError, command
from pam_totp.fleet import people, person_text
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.review import one_home
from pam_totp.review.doors import doors_of
from pam_totp.review.explanation import as_text
from pam_totp.review.login_outcome import ASKED
from pam_totp.review.looking import silent_home
from pam_totp.review.not_asked import AS_USER, Stack, service_of_sshd, ways_of_sshd
from pam_totp.review.ways_of_sshd import knows_key
from pam_totp.rules.policy import LOCAL
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.stack import sshd
from pam_totp.stack.sshd import Way

HELP = "root: show what would happen at a login, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp explain`."""
    parser.add_argument("name", metavar="USER")
    parser.add_argument(
        "--service", type=_service, default="sshd", help="PAM service (default: sshd)"
    )
    parser.add_argument(
        "--from",
        dest="address",
        metavar="ADDR",
        type=_address,
        help="remote address (default: this machine)",
    )
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--publickey", action="store_true", help="after sshd accepted a public key")
    key.add_argument("--sk", action="store_true", help="after sshd accepted a security key")
    parser.add_argument(
        "--as-user", action="store_true", help="the program runs as the user, as screen lockers do"
    )
    people.add_options(parser, "show what the store knows about the user")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the decision, the rule, and the facts that it rests on. Raises Error."""
    if options.fleet:
        return _explain_fleet(options)
    account = find(options.name)
    if (options.publickey or options.sk) and options.service != "sshd":
        option = "--sk" if options.sk else "--publickey"
        raise UsageError(f"{option} applies only to sshd", f"leave out {option}")
    is_of_sshd = options.service == "sshd"
    if is_of_sshd:
        sshd.make_folder()
    name = service_of_sshd(account, options.address) if is_of_sshd else options.service
    stack = Stack(name, is_of_sshd=is_of_sshd)
    doors = doors_of(options.service)
    buts = stack.buts
    ways: list[tuple[Way, str]] = []
    if is_of_sshd:
        has_key = options.publickey or options.sk
        of_sshd, ways = ways_of_sshd(account, options.address, stack, publickey=has_key)
        buts = [*buts, *of_sshd]
    as_user = options.as_user or options.service in AS_USER
    if as_user:
        _become(account)
    active = settings.load()
    found = _described(account, options, options.publickey or options.sk, active)
    found |= {"service_asks": stack.asks, "runs_as_user": as_user}
    if found["codes_sent"] and stack.is_combined:
        buts = [*buts, f"no code is sent, because {options.service} has one prompt (combined)"]
        found["codes_sent"] = []
    found |= {"warnings": buts, "sshd_ways": []} | doors
    for way, outcome in ways:
        if not outcome:
            outcome = _described(account, options, knows_key(way), active)["outcome"]
        found["sshd_ways"].append({"methods": way, "outcome": outcome})
    if buts and found["outcome"] == ASKED:
        found["outcome"] = "the settings ask for a code"
    text = as_text(found, options, is_of_fleet=active.store == settings.FLEET)
    print(json.dumps(found, indent=2) if options.json else fit(text))
    return 0


def _explain_fleet(options: argparse.Namespace) -> int:
    """What the store knows of a person, and what it tells a login host. Which rule decides there,
    what the host remembers, and grants are known there only."""
    has_key = options.publickey or options.sk
    if options.address or has_key or options.as_user or options.service != "sshd":
        message = "--fleet shows no login, so it takes no service and no address"
        raise UsageError(message, command("explain", options.name, options=["--fleet"]))
    with people.connected() as store:
        known = people.people(store, [options.name])
    found = person_text.describe(options.name, known[0] if known else None)
    print(json.dumps(found, indent=2) if options.json else fit(person_text.as_text(found)))
    return 0


def _described(
    account: pwd.struct_passwd,
    options: argparse.Namespace,
    publickey: bool,
    active: settings.Settings,
) -> dict[str, Any]:
    key = f"publickey {'sk-any' if options.sk else 'any'}"
    request = Request(
        user=options.name,
        service=options.service,
        rhost=options.address or "",
        key=key if publickey and options.service == "sshd" else "",
    )
    try:
        found = one_home.login(request, active)
    except Failure as failure:
        raise Error(failure.detail, "getent passwd") from None
    if found is None:
        message = f"{silent_home(account)}, so a login that has to look into it is refused"
        raise Error(message, "mount it again, or unmount what does not answer")
    return found


def _become(account: pwd.struct_passwd) -> None:
    """Gives up root for good, so that the code which decides sees what it would see in a program
    that runs as the user: no grants and no record of earlier logins."""
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def _service(text: str) -> str:
    """argparse's type of --service: the name of a file, in lower case as libpam has it."""
    if not text or "/" in text:
        raise argparse.ArgumentTypeError("must be the name of a file in /etc/pam.d")
    return text.lower()


def _address(text: str) -> str | None:
    """argparse's type of --from."""
    if text == LOCAL:
        return None
    if address_of(text) is None:
        raise argparse.ArgumentTypeError("must be an IPv4 or IPv6 address, or 'local'")
    return text
