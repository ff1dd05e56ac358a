# SPDX-License-Identifier: MIT
"""The pam_totp.so lines: which of them are never reached, refuse everybody, or are reached by those
whom something before them has refused."""

import re
import shlex
from collections.abc import Iterator

from pam_totp.records.config.settings import Settings
from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding
from pam_totp.review.doctor.host import Host, auth_of
from pam_totp.review.not_asked import AS_USER, WITHOUT_QUESTIONS
from pam_totp.stack import order, stack_faults, totp_lines
from pam_totp.stack.factors import meanings
from pam_totp.stack.libpam import MODULE_UNKNOWN, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.search import edges_of
from pam_totp.stack.service import Service
from pam_totp.stack.ways_in import ways_in

EDIT = "sed -i --follow-symlinks"


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
        pattern = re.sub(r"([][\\/.*^$])", r"\\\1", word)
        edit = shlex.quote(rf"{line.number}s/[ \t]*{pattern}//")
        yield Finding(
            severity=REFUSED,
            kind="invalid-option",
            what=f"{line.place} has the invalid option {word!a}",
            consequence=f"Every login at {service} is refused.",
            command=f"{EDIT} {edit} {line.file}",
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
    elif any(line.fault for line in auth_of(service)):
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
    command = f"pam-totp enable {shlex.quote(name)}"
    reached = {state.at for state in edges_of(lines, meanings)}
    asking = {at for at, line in enumerate(lines) if totp_lines.asks(line)}
    for at in sorted(asking - reached):
        what = f"the pam_totp.so line of {name} is never reached ({lines[at].place})"
        consequence = "It asks nobody for a code."
        yield Finding(OPEN, "unreachable-line", what, consequence, command)
    if asking - reached or not ways_in(service):
        return
    for sentence in order.reached_by_wrong_passwords(lines):
        consequence = "Strangers are asked for a code, and use up the tries of the user."
        what = f"{name}: {sentence}"
        yield Finding(AT_RISK, "asked-after-wrong-password", what, consequence, command)
    for sentence in stack_faults.by_wrong_passwords(service):
        consequence = "The code alone is enough there."
        what = f"{name}: {sentence}"
        yield Finding(OPEN, "wrong-password-accepted", what, consequence, command)
    for sentence in order.left_by_incorrect_codes(lines):
        consequence = "More is done for somebody whose code was refused."
        what = f"{name}: {sentence}"
        yield Finding(AT_RISK, "goes-on-after-incorrect-code", what, consequence, command)
    for sentence in stack_faults.refused_by_control(lines):
        consequence = "People are refused whose code is correct, or who need none."
        yield Finding(REFUSED, "refusing-control", f"{name}: {sentence}", consequence, command)
    for sentence in stack_faults.of_keys(service):
        what = f"{name}: {sentence.partition(': run')[0]}"
        consequence = "Logins with a key are refused, or are asked for a password too."
        yield Finding(REFUSED, "key-line-jumps-wrong", what, consequence, command)


def of_locker(name: str, lines: tuple[Line, ...], active: Settings) -> Iterator[Finding]:
    """A screen locker that cannot show the question, or cannot read the secret."""
    if name in WITHOUT_QUESTIONS and not any(map(totp_lines.is_combined, lines)):
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
