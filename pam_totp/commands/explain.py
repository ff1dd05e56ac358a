"""`pam-totp explain`: what would happen to a login, by the very code that decides there."""

import argparse
import json
import os
import time
from typing import Any

from pam_totp.access.decision import (
    ENROLL,
    LET_THROUGH,
    UNENROLLED,
    Decision,
    decide,
)
from pam_totp.access.facts import Facts, address_of, gather_facts
from pam_totp.enrollment.identity import find
from pam_totp.errors import Error
from pam_totp.records.config import settings
from pam_totp.records.config.settings import PATH
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import grant, secret
from pam_totp.review import not_asked
from pam_totp.review.active_settings import fault_of
from pam_totp.review.user_row import fault_of_home
from pam_totp.rules.enrollment import AT_LOGIN, BY
from pam_totp.rules.policy import LOCAL, Rule
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import whole_seconds
from pam_totp.stack import services

HELP = "root: what would happen to a login, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp explain`."""
    parser.add_argument("name", metavar="USER")
    parser.add_argument(
        "--service", type=_service, default="sshd", help="PAM's name of it, like login (sshd)"
    )
    parser.add_argument(
        "--from",
        dest="address",
        metavar="ADDR",
        type=_address,
        help="the remote address; none: from this machine",
    )
    parser.add_argument("--publickey", action="store_true", help="after sshd accepted a key")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> int:
    """Prints the decision, the rule, and the facts that it rests on. Raises Error."""
    account = find(options.name)
    if options.publickey and options.service != "sshd":
        raise Error("--publickey is sshd's alone", "leave it out, or --service sshd")
    environment = {
        b"PAM_USER": account.pw_name.encode("utf-8", "surrogateescape"),
        b"PAM_SERVICE": options.service.encode("utf-8", "surrogateescape"),
        b"PAM_RHOST": (options.address or "").encode(),
        b"SSH_AUTH_INFO_0": b"publickey any" if options.publickey else b"",
    }
    configured = settings.load()
    now = time.time()
    try:
        facts = gather_facts(Request(environment), configured, now, complete=True)
    except Failure as refused:
        raise Error(refused.detail, "getent passwd") from None
    decision = decide(
        facts.rule.code,
        facts.state,
        configured.enrollment,
        options.service,
        now,
        is_granted=facts.grant is not None,
        is_remembered=facts.is_remembered,
    )
    found = describe(facts, decision, options.service, configured)
    found["but"] = not_asked.reasons(
        facts.user.pw_name,
        options.service,
        options.address,
        publickey=options.publickey,
        has_line=found["service_asks"],
    )
    print(json.dumps(found, indent=2) if options.json else _as_text(found, options))
    return 0


def describe(
    facts: Facts, decision: Decision, service: str, configured: settings.Settings
) -> dict[str, Any]:
    """The decision and its facts, for programs."""
    enrolled, secret_fault, not_shown = None, "", ""
    if configured.enrollment.mode == AT_LOGIN:
        not_shown = f"; {service} is not in enrollment_services, so no QR code is shown"
    try:
        enrolled = secret.read(SecretDir(facts.user, configured.store)) is not None
    except Failure as refused:
        secret_fault = fault_of_home(facts.user) or refused.detail
    faults = (
        facts.fault,
        secret_fault,
        facts.grant_fault,
        facts.wait_fault,
        fault_of(configured),
        _grant_fault(facts),
    )
    return {
        "user": facts.user.pw_name,
        "needs_code": decision.action != LET_THROUGH,
        "reason": decision.reason,
        "outcome": _outcome(facts, decision, not_shown, enrolled, secret_fault),
        "service_asks": service in services.that_ask(),
        "code": facts.rule.code,
        "line": facts.rule.line or None,
        "rule": _rule(facts.rule, configured),
        "enrollment": configured.enrollment.mode,
        "days_left": decision.days or None,
        "enrolled": enrolled,
        "mark": facts.is_enforced,
        "granted_until": facts.grant.until if facts.grant else None,
        "granted_once": facts.grant is not None and facts.grant.once,
        "waiting_seconds": whole_seconds(facts.wait),
        "remember_seconds": configured.remember_seconds,
        "faults": list(dict.fromkeys(fault for fault in faults if fault)),
    }


def _grant_fault(facts: Facts) -> str:
    """What only a login meets: a grant that is good once has to be removed before the yes."""
    folder = f"{state_dir.VAR.path}/{grant.KIND}"
    if not (facts.grant and facts.grant.once) or os.access(folder, os.W_OK):
        return ""
    return f"the grant is good once, and a code is asked for: {folder} cannot be written"


def _outcome(
    facts: Facts, decision: Decision, not_shown: str, enrolled: bool | None, secret_fault: str
) -> str:
    if decision.action == LET_THROUGH:
        return "no code is asked for"
    if decision.action == ENROLL:
        return "sees a QR code at the login, and is in once enrolled"
    if facts.state == UNENROLLED:
        return f"is refused: has to give a code and has not enrolled{not_shown}"
    if secret_fault:
        return f"is refused whatever is typed: {secret_fault}"
    if not enrolled:
        return "is refused: has given a code before, or has a secret elsewhere, and has none here"
    return "a code is asked for"


def _rule(rule: Rule, configured: settings.Settings) -> str:
    if not rule.line:
        return f"no rule matches: code: {rule.code}, as enrollment is {configured.enrollment.mode}"
    named = [
        f"{key}: {', '.join(values)}"
        for key, values in (
            ("user", rule.users),
            ("group", rule.groups),
            ("service", rule.services),
            ("from", rule.shown_sources()),
        )
        if values
    ]
    named += [f"publickey: {rule.publickey}"] if rule.publickey else []
    return f"line {rule.line} of {PATH}: {'; '.join([*named, f'code: {rule.code}'])}"


def _as_text(found: dict[str, Any], options: argparse.Namespace) -> str:
    def yes_no(value: bool | None) -> str:
        return "unknown" if value is None else "yes" if value else "no"

    where = f"{options.service}, from {options.address or 'this machine'}"
    where += ", with a public key" if options.publickey else ""
    reason = f" ({found['reason']})" if found["reason"] else ""
    until = found["granted_until"]
    grant = time.strftime("until %Y-%m-%d %H:%M:%S UTC", time.gmtime(until)) if until else "none"
    grant = f"once, {grant}" if found["granted_once"] else grant
    waiting = found["waiting_seconds"]
    lines = [
        f"{found['user']}, {where}: {found['outcome']}{reason}",
        f"  rule: {found['rule']}",
        f"  enrolled: {yes_no(found['enrolled'])}",
        f"  has logged in with a code: {yes_no(found['mark'])}",
        f"  grant: {grant}",
        f"  waiting after wrong codes: {f'{waiting} s' if waiting else 'no'}",
    ]
    lines[1:1] = [f"  BUT {each}" for each in found["but"]]
    if found["enrollment"] == BY and found["days_left"]:
        lines.append(f"  days left to enroll: {found['days_left']}")
    if found["remember_seconds"] and found["needs_code"]:
        lines.append(
            f"  not asked again within {found['remember_seconds']} s, for the same key or session"
        )
    if options.service == "sshd" and not options.address:
        lines.append("  (sshd has an address for every login: --from ADDRESS)")
    return "\n".join([*lines, *(f"  fault: {fault}" for fault in found["faults"])])


def _service(text: str) -> str:
    """argparse's type of --service: the name of a file, in lower case as libpam has it."""
    if not text or "/" in text:
        raise argparse.ArgumentTypeError("a PAM service is the name of a file in /etc/pam.d")
    return text.lower()


def _address(text: str) -> str | None:
    """argparse's type of --from."""
    if text == LOCAL:
        return None
    if address_of(text) is None:
        raise argparse.ArgumentTypeError("an IPv4 or IPv6 address, or local")
    return text
