# SPDX-License-Identifier: MIT
"""What is valid in the settings but probably not intended: shown by `pam-totp config check`."""

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pam_totp.records.config.settings import FLEET
from pam_totp.review.guessing import MAX_CHANCE, chance_with, percent
from pam_totp.review.lockout import Warned, locked_out, never_asked
from pam_totp.review.method_warnings import of_limits, of_methods, of_programs
from pam_totp.review.rule_names import Host, of_rule
from pam_totp.review.sent_codes import accepted_by
from pam_totp.review.shadowed_rules import shadowed
from pam_totp.rules.enrollment import BY, SHOW_SECRETS
from pam_totp.spelling import did_you_mean

if TYPE_CHECKING:
    from pam_totp.review.settings_faults import Checked

# Programs that were seen to show messages of PAM to others than the user, or not at all.
LOGS = {
    "cockpit": "cockpit-ws writes them to its standard error, and so to the journal",
    "xrdp-sesman": "xrdp-sesman writes them to syslog and to its own log",
    "lightdm": "its greeter hides the instructions, the prompt and the recovery codes",
}


def warnings_of(found: "Checked") -> list[str]:
    """One sentence a warning, with its position, in the file's order."""
    host = Host()
    now = time.time()
    warned = [
        *_of_values(found, now),
        *_of_fleet(found),
        *_of_enrollment_services(found, host),
        *_of_rules(found, host),
        *of_methods(found),
        *of_programs(found),
        *of_limits(found),
        *never_asked(found.rules, host.asking),
        *locked_out(found, host.asking, host.names("service"), now),
    ]
    warned.sort(key=lambda each: _numbers(each[0]))
    return [f"{position}: {what}" for position, what in dict.fromkeys(warned)]


def _numbers(position: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", position)]


def _of_values(found: "Checked", now: float) -> Iterator[Warned]:
    values, positions = found.values, found.positions
    mode, _, deadline = values["enrollment"].partition(" ")
    if mode == BY and int(deadline) <= now:
        yield positions["enrollment"], "this date has passed, so this means `enrollment: required`"
    named = [key for key in ("code.window", "throttle.longest_wait") if key in positions]
    chance = chance_with(values, is_sent=bool(accepted_by(found.rules)))
    if chance is not None and chance > MAX_CHANCE and named:
        settings = " and ".join(f"{key} {values[key]}" for key in named)
        yield (
            max((positions[key] for key in named), key=_numbers),
            f"with {settings}, a guesser who knows the password has a {percent(chance)} chance to "
            f"log in within 30 days; the defaults keep it below {MAX_CHANCE:.0%}",
        )


def _of_fleet(found: "Checked") -> Iterator[Warned]:
    """What the store of a fleet decides for all hosts, or what needs a secret on this one."""
    for key, position in found.positions.items():
        if found.values["store"] == FLEET and key.startswith(("code.", "throttle.", "remember")):
            yield position, f"{key} has no effect with `store: {FLEET}`"


def _of_enrollment_services(found: "Checked", host: Host) -> Iterator[Warned]:
    key = "enrollment_services"
    for service in found.values[key].split():
        if service in SHOW_SECRETS:
            continue
        risk = LOGS.get(service, "its program may write messages of PAM to a log")
        yield found.positions[key], f"{service} would show secrets and recovery codes: {risk}"
        if not host.has("service", service):
            also = did_you_mean(service, host.names("service"))
            yield found.positions[key], f"service {service} does not exist in {host.folder}{also}"


def _of_rules(found: "Checked", host: Host) -> Iterator[Warned]:
    for rule, earlier in shadowed(found.rules):
        what = f"this rule is shadowed by line {earlier.line} and can never match"
        yield f"line {rule.line}", what
    for rule in found.rules:
        for what in of_rule(rule, host):
            yield f"line {rule.line}", what
