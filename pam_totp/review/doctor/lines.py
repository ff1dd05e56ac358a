# SPDX-License-Identifier: MIT
"""The pam_totp.so lines: which of them are never reached, refuse everybody, or are reached by those
whom something before them has refused."""

import shlex
from collections.abc import Iterator

from pam_totp.records.config.settings import Settings
from pam_totp.review.doctor import repairs
from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding
from pam_totp.review.doctor.host import Host, auth_of
from pam_totp.review.doctor.repairs import is_marked
from pam_totp.review.doctor.second_factors import is_missing
from pam_totp.review.not_asked import AS_USER, WITHOUT_QUESTIONS
from pam_totp.stack import order, stack_faults, totp_lines
from pam_totp.stack.factors import meanings
from pam_totp.stack.libpam import MODULE_UNKNOWN, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import asked_twice
from pam_totp.stack.search import edges_of
from pam_totp.stack.service import Service
from pam_totp.stack.ways_in import ways_in


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    for name, service in host.services.items():
        lines = auth_of(service)
        ours = [line for line in lines if line.module_name == totp_lines.MODULE]
        yield from (found for line in ours for found in of_options(line, name))
        if any(line.always == MODULE_UNKNOWN for line in ours):
            continue  # the module is missing: one fault, and not one for each service
        try:
            yield from _of_stack(service, has_ours=bool(ours))
            if name in host.asking:
                yield from _of_asking(service)
        except Unknown:
            continue  # the table of ways says so
        if name in host.asking:
            yield from of_locker(name, lines, host.active)


def of_options(line: Line, service: str) -> Iterator[Finding]:
    """The words of a line that the module does not know."""
    for word in totp_lines.invalid_options(line):
        yield Finding(
            severity=REFUSED,
            kind="invalid-option",
            what=f"{line.place} has the invalid option {word!a}",
            consequence=f"Every login at {service} is refused.",
            command=repairs.without_word(line, word),
        )


def _of_stack(service: Service, *, has_ours: bool) -> Iterator[Finding]:
    """A service that refuses everybody, or has a line that PAM cannot use."""
    command = f"editor /etc/pam.d/{shlex.quote(service.name)}"
    faults = "; ".join(service.faults)
    if service.refused or not ways_in(service):
        yield Finding(
            severity=REFUSED,
            kind="refuses-everybody",
            what=f"{service.name} refuses every login: "
            f"{faults or 'no way through its lines succeeds'}",
            consequence=f"Nobody can log in at {service.name}, with or without a code.",
            command=command,
        )
    elif any(line.fault and not is_missing(line) for line in auth_of(service)):
        yield Finding(
            severity=REFUSED if has_ours else AT_RISK,
            kind="unusable-line",
            what=f"{service.name} has a line that PAM cannot use: {faults}",
            consequence="Logins that reach that line are refused.",
            command=command,
        )


def _of_asking(service: Service) -> Iterator[Finding]:
    """Lines that ask for a code, and are not reached as they should be."""
    name, lines = service.name, auth_of(service)
    reached = {state.at for state in edges_of(lines, meanings)}
    asking = {at for at, line in enumerate(lines) if totp_lines.asks(line)}
    for at in sorted(asking - reached):
        what = f"the pam_totp.so line of {name} is never reached ({lines[at].place})"
        command = repairs.of_line(service, lines[at])
        yield Finding(OPEN, "unreachable-line", what, "It asks nobody for a code.", command)
    if asking - reached or not ways_in(service):
        return
    for what, kind, severity, consequence in _sentences(service):
        command = _repair(kind, service, min(asking))
        yield Finding(severity, kind, f"{name}: {what}", consequence, command)


def _sentences(service: Service) -> Iterator[tuple[str, str, str, str]]:
    """What the model says is wrong, with its kind, its severity and what follows."""
    lines = auth_of(service)
    for what in order.reached_by_wrong_passwords(lines):
        consequence = "Strangers are asked for a code, and can use up the user's tries."
        yield what, "asked-after-wrong-password", AT_RISK, consequence
    for what in stack_faults.by_wrong_passwords(service):
        yield what, "wrong-password-accepted", OPEN, "The code alone is enough there."
    for what in order.left_by_incorrect_codes(lines):
        consequence = "After an incorrect code the lines that follow are still run."
        yield what, "goes-on-after-incorrect-code", AT_RISK, consequence
    for what in stack_faults.refused_by_control(lines):
        consequence = "Users are refused although their code is correct, or they need none."
        yield what, "refusing-control", REFUSED, consequence
    for line in asked_twice(lines):
        consequence = "Users who have a secret of one program only are refused."
        what = f"two codes are asked for, the second at {line.place}"
        yield what, "asked-twice", AT_RISK, consequence
    for what in stack_faults.of_keys(service):
        consequence = "Logins with a key are refused, or are asked for a password too."
        yield what.partition(": run")[0], "key-line-jumps-wrong", REFUSED, consequence


def _repair(kind: str, service: Service, asking: int) -> str:
    """asking: the place of the first line that asks."""
    lines = auth_of(service)
    before = [line for line in lines[:asking] if line.is_substack]
    if is_marked(service):
        return f"pam-totp enable {shlex.quote(service.name)}"
    if kind == "refusing-control":
        return repairs.require(lines[asking].file, lines[asking].number)
    if kind in ("asked-after-wrong-password", "goes-on-after-incorrect-code") and before:
        return repairs.include(before[-1])
    keys = [line for line in lines if totp_lines.wants_key(line)]
    line = keys[0] if keys and kind == "key-line-jumps-wrong" else lines[asking]
    return repairs.of_line(service, line)


def of_locker(name: str, lines: tuple[Line, ...], active: Settings) -> Iterator[Finding]:
    """A screen locker that cannot show the question, or cannot read the secret."""
    if name in WITHOUT_QUESTIONS and not any(map(totp_lines.is_combined, lines)):
        stack = "/usr/share/doc/pam-totp/examples/pam/screen-locker"
        yield Finding(
            severity=REFUSED,
            kind="locker-cannot-ask",
            what=f"{name} never shows the question, and answers it with the password",
            consequence="The screens of enrolled users stay locked.",
            command=f"cp {stack} /etc/pam.d/{name}",
        )
    if name in AS_USER and active.store == "system":
        yield Finding(
            severity=REFUSED,
            kind="locker-cannot-read",
            what=f"{name} runs as the user, who cannot read the secret (store: system)",
            consequence="The screens of enrolled users stay locked.",
            command=f"{repairs.EDIT} '/pam_totp/d' /etc/pam.d/{name}",
        )
