# SPDX-License-Identifier: MIT
"""`pam-totp explain`: what would happen at a login, by the code that decides at logins."""

import argparse
import json
import os
import pwd
import time
from typing import Any

from pam_totp.access.decision import ENROLL, LET_THROUGH, UNENROLLED, Decision, decide
from pam_totp.access.facts import Facts, address_of, gather_facts
from pam_totp.enrollment.identity import find
from pam_totp.errors import Error, UsageError
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import grant
from pam_totp.review.active_settings import fault_of
from pam_totp.review.doors import doors_of
from pam_totp.review.explanation import as_text, rule_as_text
from pam_totp.review.not_asked import AS_USER, Stack, service_of_sshd, ways_of_sshd
from pam_totp.review.user_row import fault_of_home, told
from pam_totp.review.ways_of_sshd import knows_key
from pam_totp.rules.enrollment import AT_LOGIN
from pam_totp.rules.policy import LOCAL
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import whole_seconds
from pam_totp.stack import sshd
from pam_totp.stack.sshd import Way

HELP = "root: show what would happen at a login, and why"
ASKED = "a code is asked for"
NOT_ENROLLED = "refused: a code is required, but the user has not enrolled"


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
    parser.add_argument("--publickey", action="store_true", help="after sshd accepted a public key")
    parser.add_argument(
        "--as-user", action="store_true", help="the program runs as the user, as screen lockers do"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the decision, the rule, and the facts that it rests on. Raises Error."""
    account = find(options.name)
    if options.publickey and options.service != "sshd":
        raise UsageError("--publickey applies only to sshd", "leave out --publickey")
    is_of_sshd = options.service == "sshd"
    if is_of_sshd:
        sshd.make_folder()
    name = service_of_sshd(account, options.address) if is_of_sshd else options.service
    stack = Stack(name, is_of_sshd=is_of_sshd)
    doors = doors_of(options.service)
    buts = stack.buts
    ways: list[tuple[Way, str]] = []
    if is_of_sshd:
        of_sshd, ways = ways_of_sshd(account, options.address, stack, publickey=options.publickey)
        buts = [*buts, *of_sshd]
    as_user = options.as_user or options.service in AS_USER
    if as_user:
        _become(account)
    active = settings.load()
    found = _describe(account, options, options.publickey, active)
    found |= {"service_asks": stack.asks, "runs_as_user": as_user}
    found |= {"warnings": buts, "sshd_ways": []} | doors
    for way, outcome in ways:
        if not outcome:
            outcome = _describe(account, options, knows_key(way), active)["outcome"]
        found["sshd_ways"].append({"methods": way, "outcome": outcome})
    if buts and found["outcome"] == ASKED:
        found["outcome"] = "the settings ask for a code"
    print(json.dumps(found, indent=2) if options.json else fit(as_text(found, options)))
    return 0


def _become(account: pwd.struct_passwd) -> None:
    """Gives up root for good, so that the code which decides sees what it would see in a program
    that runs as the user: no grants and no record of earlier logins."""
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def _describe(
    account: pwd.struct_passwd,
    options: argparse.Namespace,
    publickey: bool,
    active: settings.Settings,
) -> dict[str, Any]:
    """The decision and its facts, as `--json` prints them."""
    request = Request(
        user=options.name,
        service=options.service,
        rhost=options.address or "",
        key="publickey any" if publickey and options.service == "sshd" else "",
    )
    now = time.time()
    try:
        facts = gather_facts(request, active, now, complete=True)
    except Failure as failure:
        raise Error(failure.detail, "getent passwd") from None
    decision = decide(facts, active.enrollment, options.service, now)
    enrolled, secret_fault = None, ""
    try:
        enrolled = SecretDir(facts.user, active.store).credentials() is not None
    except Failure as failure:
        secret_fault = fault_of_home(facts.user) or told(failure.detail, facts.user)
    outcome = _outcome(facts, decision, enrolled, secret_fault)
    if outcome == NOT_ENROLLED and active.enrollment.mode == AT_LOGIN:
        outcome += f"; {options.service} is not in enrollment_services, so no QR code is shown"
    faults = (
        facts.fault,
        secret_fault,
        facts.grant_fault,
        facts.wait_fault,
        fault_of(active),
        _grant_fault(facts),
        _run_fault(facts.user.pw_uid),
    )
    said = [told(each, facts.user) for each in faults if each]
    return {
        "user": facts.user.pw_name,
        "needs_code": decision.action != LET_THROUGH,
        "reason": decision.reason,
        "outcome": outcome,
        "rule": rule_as_text(facts.rule, active),
        "rule_line": facts.rule.line or None,
        "rule_code": facts.rule.code,
        "enrollment_mode": active.enrollment.mode,
        "days_left_to_enroll": decision.days or None,
        "enrolled": enrolled,
        "has_used_code": facts.is_enforced,
        "granted_until": facts.grant.until if facts.grant else None,
        "granted_once": facts.grant is not None and facts.grant.once,
        "waiting_seconds": whole_seconds(facts.wait),
        "remember_seconds": active.remember_seconds,
        "faults": list(dict.fromkeys(said)),
    }


def _outcome(facts: Facts, decision: Decision, enrolled: bool | None, secret_fault: str) -> str:
    if decision.action == LET_THROUGH:
        return "no code is asked for"
    if decision.action == ENROLL and os.geteuid() == 0:
        return "a QR code is shown at the login, for enrolling there"
    if facts.state == UNENROLLED:
        return NOT_ENROLLED
    if secret_fault:
        return f"refused, whatever code is entered: {secret_fault}"
    if not enrolled:
        return "refused: the secret is missing here (removed, or still in the other store)"
    return ASKED


def _grant_fault(facts: Facts) -> str:
    """A fault that only a login meets: a single-use grant is removed before it is accepted."""
    folder = f"{state_dir.VAR.path}/{grant.KIND}"
    if not (facts.grant and facts.grant.once) or os.access(folder, os.W_OK):
        return ""
    return f"{folder} cannot be written, so the grant is not used and a code is asked for"


def _run_fault(uid: int) -> str:
    """A fault of programs that run as the user: they record used codes in /run/user/UID."""
    folder = f"/run/user/{uid}"
    if os.geteuid() == 0 or os.access(folder, os.W_OK):
        return ""
    return f"{folder} does not exist (systemd creates it at login), so every code is refused"


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
