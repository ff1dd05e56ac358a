# SPDX-License-Identifier: MIT
"""The text that `pam-totp explain` prints."""

import argparse
import time
from typing import Any

from pam_totp.errors import command
from pam_totp.records.config.settings import PATH, Settings
from pam_totp.rules.enrollment import BY
from pam_totp.rules.policy import LOCAL, TOTP, Rule
from pam_totp.stack.sshd import shown


def as_text(
    found: dict[str, Any], options: argparse.Namespace, *, is_of_fleet: bool = False
) -> str:
    """The outcome first, then what may change it, then the facts. is_of_fleet: whether the secrets
    are in the store of a fleet, of which this host knows its own logins alone."""

    def yes_no(value: bool | None) -> str:
        return "unknown" if value is None else "yes" if value else "no"

    where = f"{options.service}, from {options.address or 'this machine'}"
    where += ", with a public key" if options.publickey else ""
    where += ", with a security key" if options.sk else ""
    reason = f" ({found['reason']})" if found["reason"] else ""
    until = found["granted_until"]
    grant = time.strftime("until %Y-%m-%d %H:%M:%S UTC", time.gmtime(until)) if until else "none"
    grant = f"once, {grant}" if found["granted_once"] else grant
    used = f"  has logged in with a code: {yes_no(found['has_used_code'])}"
    if is_of_fleet:
        there = command("explain", found["user"], options=["--fleet"])
        used = f"  has logged in with a code at this host: {yes_no(found['has_used_code'])}"
        used += f" (at any host: {there}, on a database server)"
    of_root = used, f"  grant: {grant}"
    waiting = found["waiting_seconds"]
    lines = [
        f"{found['user']}, {where}: {found['outcome']}{reason}",
        f"  rule: {found['rule']}",
        f"  enrolled: {yes_no(found['enrolled'])}",
        *(() if found["runs_as_user"] else of_root),
        f"  waiting after incorrect codes: {f'{waiting} s' if waiting else 'no'}",
    ]
    lines += [_sent(each) for each in found["codes_sent"] if found["needs_code"]]
    # "No code is asked for, but no code is asked for" would contradict itself.
    warnings = [
        f"  {'BUT' if found['needs_code'] or 'refused' in each else 'ALSO'} {each}"
        for each in found["warnings"]
    ]
    lines[1:1] = warnings + [
        f"  by {shown(way['methods'])}: {way['outcome']}" for way in found["sshd_ways"]
    ]
    instead = found["other_module_note"]
    if instead and not found["needs_code"]:
        lines[0] = lines[0].replace(found["outcome"], f"{found['outcome']} by pam_totp.so", 1)
        lines.insert(1, f"  BUT {instead[0].lower()}{instead[1:-1]}")
    doors, title = found["every_way_in"], f"  every way in at {options.service}:"
    lines += [f"{title} {doors[0]}"] if len(doors) == 1 else [title, *(f"    {d}" for d in doors)]
    notes = (found["enrollment_note"], instead)
    lines += [f"    {note}" for note in notes if note]
    for way in found["without_a_code"]:
        lines.append(f"  way in without a code, for {way['who']}: {way['proved']}")
        lines += [f"    {line}" for line in way["lines"]]
    if found["runs_as_user"]:
        lines.append(
            f"  {options.service} runs as {found['user']}, so grants, recovery codes and earlier "
            "logins with a code do not count: only root can see them"
        )
    if found["enrollment_mode"] == BY and found["days_left_to_enroll"]:
        lines.append(f"  days left to enroll: {found['days_left_to_enroll']}")
    if found["remember_seconds"] and found["needs_code"]:
        lines.append(
            f"  not asked again within {found['remember_seconds']} s with the same key or session"
        )
    if options.service == "sshd" and not options.address:
        lines.append("  (every ssh login has a remote address; set it with --from ADDRESS)")
    return "\n".join([*lines, *(f"  fault: {fault}" for fault in found["faults"])])


def _sent(each: dict[str, Any]) -> str:
    """A line about codes that are sent to one address."""
    state = "confirmed" if each["confirmed"] else "unconfirmed"
    if each["at_once"]:
        return f"  a code is sent by {each['kind']} to {each['address']} ({state})"
    return f"  to have one sent to {each['address']} ({state}), enter {each['kind']} at the prompt"


def rule_as_text(rule: Rule, active: Settings) -> str:
    """The rule that decides, with its line; or what applies where none matches."""
    if not rule.line:
        return f"no rule matches, so code: {rule.code} (enrollment: {active.enrollment.mode})"
    named = [
        f"{key}: {', '.join(values)}"
        for key, values in (
            ("user", rule.users),
            ("group", rule.groups),
            ("service", rule.services),
            ("from", shown_sources(rule)),
        )
        if values
    ]
    named += [f"publickey: {rule.publickey}"] if rule.publickey else []
    named += [f"methods: {', '.join(rule.methods)}"] if rule.methods != (TOTP,) else []
    return f"line {rule.line} of {PATH}: {'; '.join([*named, f'code: {rule.code}'])}"


def shown_sources(rule: Rule) -> list[str]:
    """The networks as people write them."""
    return [source if source == LOCAL else _shown_network(source) for source in rule.sources]


def _shown_network(network: str) -> str:
    first, _, prefix = network.partition("/")
    if len(first) == 8:
        text = ".".join(str(byte) for byte in bytes.fromhex(first))
    else:
        text = ":".join(first[at : at + 4] for at in range(0, len(first), 4))
    return f"{text}/{prefix}"
