# SPDX-License-Identifier: MIT
"""Ways to log in without a code, services that stopped asking, and the table of all ways."""

import shlex
from collections.abc import Iterator

from pam_totp.records.storage import state_dir
from pam_totp.review.doctor import repairs
from pam_totp.review.doctor.findings import AT_RISK, OPEN, Finding, undetermined
from pam_totp.review.doctor.host import Host
from pam_totp.review.everybody import names
from pam_totp.review.one_prompt import EXAMPLE, ONE_PROMPT
from pam_totp.review.open_to import note_of_enrollment
from pam_totp.review.other_modules import asked_instead, needs_code_of_others, program_at
from pam_totp.review.ways import ServiceWays, WayIn
from pam_totp.stack import services, turned_on
from pam_totp.stack.profile import (
    AFTER_PASSWORDS,
    FINGER_OFF,
    OFF,
    asks_by_profile,
    finger_is_a_password,
)

MAX_NAME = 16  # a longer name of a service has a line of its own
MAX_LINE = 76  # with what stands before it, 80 columns

_RULE = "If that is intended, write a rule with these services and `code: never`."
_BY_HAND = (
    "Such programs have one prompt only, so the code is typed right after the password. The lines "
    "for that are in the example, and are yours to write."
)

_BY_PROFILE = (
    "pam-auth-update's profile asks for a code after a password, and sshd does not ask PAM after a "
    "key alone. With the command below, sshd accepts passwords and codes only. To have a key and a "
    f"code, turn the profile off ({OFF}), and enable each service."
)


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    yield from _no_longer_asking(host)
    without: list[str] = []
    for each in host.ways:
        if each.unknown:
            what = f"the ways to log in at {each.name}: {each.unknown}"
            yield undetermined(what, f"pam-totp explain root --service {shlex.quote(each.name)}")
        found = each.findings
        if found and each.name not in host.asking:
            without.append(each.name)
        else:
            yield from (_way_around(host, each.name, way) for way in found)
    enabled = [name for name in without if name not in ONE_PROMPT]
    programs = {name: program_at(host.services[name]) for name in enabled}
    for each in host.ways:
        if program := programs.get(each.name):
            yield _of_another(each, program)
    enabled = [name for name in enabled if not programs[name]]
    if enabled:
        yield _without_code(enabled, _RULE, f"pam-totp enable {shlex.join(enabled)}")
    edited = [name for name in without if name in ONE_PROMPT]
    if edited:  # `enable` refuses them
        yield _without_code(edited, f"{_BY_HAND} {_RULE}", f"less {EXAMPLE}")


def _way_around(host: Host, name: str, way: WayIn) -> Finding:
    whose = f", for {way.who}" if way.who not in ("", "others") else ""
    through = f" ({'; '.join(way.lines)})" if way.lines else ""
    consequence = (
        "Users who log in that way are asked for no code. If that is intended, write a rule for "
        "them with `code: never`."
    )
    command = repairs.of_way(name, way.lines)
    if "fingerprint" in way.words and finger_is_a_password(host.services[name].stacks["auth"]):
        command = FINGER_OFF
    if name == "sshd" and not way.who and asks_by_profile(host.services[name]):
        consequence, command = _BY_PROFILE, AFTER_PASSWORDS
    return Finding(
        severity=OPEN,
        kind="way-without-code",
        what=f"{name} has a way around the code: {way.words}{whose}{through}",
        consequence=consequence,
        command=command,
    )


def _without_code(names_of_services: list[str], what_then: str, command: str) -> Finding:
    listed = ", ".join(names_of_services)
    return Finding(
        severity=OPEN,
        kind="service-without-code",
        what=f"no code is asked for at {listed}, because there is no pam_totp.so line",
        consequence=f"The first factor is enough there. {what_then}",
        command=command,
    )


def _of_another(service: ServiceWays, program: str) -> Finding:
    is_asked = all(needs_code_of_others(way.words) for way in service.findings)
    return Finding(
        severity=AT_RISK if is_asked else OPEN,
        kind="code-of-another-program",
        what=f"{service.name} asks for codes of {program}, and has no pam_totp.so line",
        consequence="Codes of users who have enrolled here are not asked for there"
        f"{'' if is_asked else ', and there are ways to log in without a code'}.",
        command=f"pam-totp enable {shlex.quote(service.name)} --beside {program}",
    )


def _no_longer_asking(host: Host) -> Iterator[Finding]:
    for name in sorted(names(turned_on.KIND) - set(services.that_ask())):
        path = shlex.quote(f"{state_dir.VAR.path}/{turned_on.KIND}/{name}")
        is_there = name in host.services
        gone = "its pam_totp.so line is gone" if is_there else "there is no such service any more"
        yield Finding(
            severity=OPEN,
            kind="no-longer-asks",
            what=f"{name} asked for a code before, and {gone}",
            consequence="Users may log in there without a code. If that is intended, remove "
            f"{path}.",
            command=f"pam-totp enable {shlex.quote(name)}" if is_there else f"rm {path}",
        )


def known_ways(host: Host) -> list[ServiceWays]:
    """What there is to show; nothing where it cannot be determined, which is a finding."""
    try:
        return host.ways
    except Exception:
        return []


def table(host: Host) -> str:
    """A line for each service, with every way to log in there."""
    lines = [line for each in known_ways(host) for line in _lines(each, _mark(each, host))]
    asks = any(way.has_code for each in host.ways for way in each.ways)
    note = note_of_enrollment(host.active, host.now) if asks else ""
    notes = [note, *asked_instead(host.services.values())]
    return "\n".join([*lines, *filter(None, notes)])


def _mark(service: ServiceWays, host: Host) -> str:
    """What stands behind the ways of a service that has one without a code; empty for others."""
    name = service.name
    if not service.findings:
        return ""
    if name in host.asking:
        return "a way without a code"
    program = program_at(host.services[name])
    asks = f"codes of {program}" if program else "no code"
    return f"{asks}: {'see pam/one-prompt' if name in ONE_PROMPT else f'pam-totp enable {name}'}"


def _lines(service: ServiceWays, mark: str) -> Iterator[str]:
    name = service.name
    if len(name) > MAX_NAME:
        yield name
        name = ""
    line = f"{name:{MAX_NAME}} {service.text}"
    if len(line) + len(mark) > MAX_LINE and mark:
        yield line
        line = " " * MAX_NAME
    yield f"{line}  {mark}".rstrip()


def as_json(host: Host) -> list[dict[str, object]]:
    """The same, for programs."""
    return [
        {
            "service": each.name,
            "unknown": each.unknown,
            "ways": [
                {"proved": way.words, "who": way.who, "allowed_by": way.reason, "lines": way.lines}
                | {"asks_for_code": way.has_code, "is_open": way.is_finding}
                for way in each.ways
            ],
        }
        for each in known_ways(host)
    ]
