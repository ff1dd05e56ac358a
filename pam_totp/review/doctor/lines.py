# SPDX-License-Identifier: MIT
"""The pam_totp.so lines: which of them are never reached, refuse everybody, or are reached after a
wrong password."""

import re
import shlex
from collections.abc import Iterator

from pam_totp.records.config.settings import Settings
from pam_totp.review.doctor.findings import AT_RISK, NO_CODE, REFUSED, Finding
from pam_totp.review.doctor.host import Host, asks, auth_of, is_ours, options_of
from pam_totp.review.not_asked import AS_USER, WITHOUT_QUESTIONS
from pam_totp.stack.dispatch import NEGATIVE
from pam_totp.stack.factors import PASSWORD, meanings
from pam_totp.stack.libpam import MODULE_UNKNOWN
from pam_totp.stack.lines import Line
from pam_totp.stack.search import Edges, TooManyWays, edges_of
from pam_totp.stack.service import Service
from pam_totp.stack.ways_in import ways_in

# What the module takes (pam_totp/pam/pam_totp.c). With any other word it refuses everybody.
OPTION = re.compile(r"tries=[1-9]|combined(=[678])?|prompt=.*|publickey_passed|debug", re.DOTALL)
EDIT = "sed -i --follow-symlinks"


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    for name, service in host.services.items():
        lines = auth_of(service)
        ours = [line for line in lines if is_ours(line) or asks(line)]
        if not ours and not service.refused and not _is_broken(service):
            continue
        yield from (found for line in ours for found in of_options(line, name))
        yield from _of_stack(service, bool(ours))
        if name in host.asking:
            yield from of_locker(name, lines, host.active)


def _is_broken(service: Service) -> bool:
    return any(line.fault for line in auth_of(service))


def of_options(line: Line, service: str) -> Iterator[Finding]:
    """The words of a line that the module does not know."""
    if not is_ours(line):
        return
    for word in line.arguments:
        if OPTION.fullmatch(word):
            continue
        pattern = re.sub(r"([][\\/.*^$])", r"\\\1", word)
        edit = shlex.quote(rf"{line.number}s/[ \t]*{pattern}//")
        yield Finding(
            severity=REFUSED,
            kind="invalid-option",
            what=f"{line.place} has the invalid option {word!a}",
            consequence=f"Every login at {service} is refused.",
            command=f"{EDIT} {edit} {line.file}",
        )


def _of_stack(service: Service, has_ours: bool) -> Iterator[Finding]:
    lines = auth_of(service)
    if any(is_ours(line) and line.always == MODULE_UNKNOWN for line in lines):
        return  # the module itself is missing, which is one fault and not one for each service
    try:
        edges = edges_of(lines, meanings) if lines else {}
        is_shut = not ways_in(service)
    except TooManyWays:
        return  # the table of ways says so
    where = f"/etc/pam.d/{service.name}"
    if service.refused or is_shut:
        why = "; ".join(service.faults) or "no way through its lines succeeds"
        yield Finding(
            severity=REFUSED,
            kind="refuses-everybody",
            what=f"{service.name} refuses every login: {why}",
            consequence=f"Nobody can log in at {service.name}, with or without a code.",
            command=f"editor {where}",
        )
    elif _is_broken(service):
        yield Finding(
            severity=REFUSED if has_ours else AT_RISK,
            kind="unusable-line",
            what=f"{service.name} has a line that PAM cannot use: {'; '.join(service.faults)}",
            consequence="Logins that reach that line are refused.",
            command=f"editor {where}",
        )
    reached = {state.at for state in edges}
    for at, line in enumerate(lines):
        if not asks(line):
            continue
        if at not in reached:
            yield Finding(
                severity=NO_CODE,
                kind="unreachable-line",
                what=f"the pam_totp.so line of {service.name} is never reached ({line.place})",
                consequence="It asks nobody for a code.",
                command=f"pam-totp enable {shlex.quote(service.name)}",
            )
        elif at in _reached_by_wrong_passwords(lines, edges):
            yield Finding(
                severity=AT_RISK,
                kind="asked-after-wrong-password",
                what=f"{service.name} asks for a code after a wrong password, too ({line.place})",
                consequence="Strangers are asked for a code, and their answers use up the tries of "
                "the user.",
                command=f"pam-totp enable {shlex.quote(service.name)}",
            )


def _reached_by_wrong_passwords(lines: tuple[Line, ...], edges: Edges) -> set[int]:
    """The places that a login comes to, refused already, after a password that was not accepted."""
    waiting = [
        after
        for state, ways in edges.items()
        if state.impression != NEGATIVE and any(group.meaning is PASSWORD for group, _ in ways)
        for group, after in ways
        if group.meaning is not PASSWORD
    ]
    seen = set(waiting)
    while waiting:
        found = {after for _, after in edges[waiting.pop()]} - seen
        seen |= found
        waiting += found
    return {state.at for state in seen if state.impression == NEGATIVE and state.at < len(lines)}


def of_locker(name: str, lines: tuple[Line, ...], active: Settings) -> Iterator[Finding]:
    """A screen locker that cannot show the question, or cannot read the secret."""
    is_combined = any("combined" in options_of(line) for line in lines if is_ours(line))
    if name in WITHOUT_QUESTIONS and not is_combined:
        stack = "/usr/share/doc/pam-totp/examples/pam/screen-locker"
        yield Finding(
            severity=REFUSED,
            kind="locker-cannot-ask",
            what=f"{name} never shows the question and answers it with the password",
            consequence="The screens of enrolled users stay locked.",
            command=f"cp {stack} /etc/pam.d/{name}",
        )
    if name in AS_USER and active.store == "system":
        yield Finding(
            severity=REFUSED,
            kind="locker-cannot-read",
            what=f"{name} runs as the user, who cannot read the secret (store: system)",
            consequence="The screens of enrolled users stay locked.",
            command=f"pam-totp disable {name}",
        )
