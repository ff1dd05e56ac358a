# SPDX-License-Identifier: MIT
"""What is wrong with a service that should ask for a code, in sentences: facts of the model alone.

- A way in without a code that the rules do not decide about MUST be reported, and so MUST a stack
  that cannot be followed: nothing is proved of it.
"""

from collections.abc import Iterator, Sequence

from pam_totp.stack import totp_lines
from pam_totp.stack.factors import (
    CODE,
    KEY,
    NO_CODE_NEEDED,
    PASSWORD,
    ROOT,
    is_without_code,
    with_key,
)
from pam_totp.stack.libpam import IGNORE, SUCCESS, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.order import REFUSING, left_by_incorrect_codes, reached_by_wrong_passwords
from pam_totp.stack.service import Service
from pam_totp.stack.services import has_line
from pam_totp.stack.ways_in import Way, all_ways, ways_in

REFUSES = ("bad", "die")
# The first line of su: root needs no code to become another user. A program that always runs as
# root, such as a daemon, would accept everybody by it.
RUN_BY_USERS = ("su", "su-l", "chsh", "chfn", "runuser", "runuser-l", "groupmems", "config-util")


def broken(service: Service) -> list[str]:
    """A sentence for each thing that libpam cannot use and refuses a login for."""
    if service.refused:
        is_said = "libpam refuses" in service.refused
        return [
            service.refused + (" and every login" if is_said else ", so every login is refused")
        ]
    found = []
    for kind in ("auth", "account"):
        for line in service.stacks[kind]:
            fault = _fault(line)
            if fault:
                who = (
                    "every login"
                    if kind == "account" or _is_shut(service)
                    else "every login that reaches it"
                )
                found.append(f"{line.place} {fault}, so {who} is refused")
    return list(dict.fromkeys(found))


def _fault(line: Line) -> str:
    """What libpam refuses whoever reaches this line for."""
    if line.is_substack:
        return ""
    if line.always is not None and line.actions[line.always] not in REFUSES:
        return ""
    if line.always is None:
        return line.fault
    if "\r" in line.module + line.control:
        return "ends with CR LF"
    return line.fault or f"names {line.module}, which is no module here"


def _is_shut(service: Service) -> bool:
    try:
        return not ways_in(service)
    except Unknown:
        return False


def doubts(service: Service) -> list[str]:
    """A sentence for each reason why a service with a pam_totp.so line does not ask for a code,
    accepts an incorrect one, or refuses a correct one."""
    if service.refused or not has_line(service):
        return []
    lines = service.stacks["auth"]
    try:
        found = [*_without_a_code(service), *refused_by_control(lines), *of_keys(service)]
    except Unknown as unknown:
        return [f"{unknown}, so what an incorrect code does there cannot be determined"]
    last = max(at for at, line in enumerate(lines) if totp_lines.asks(line))
    if any(totp_lines.is_combined(line) for line in lines[last + 1 :]):
        found.append("a line with 'combined' has no pam_totp.so line after it, which would verify")
    return list(dict.fromkeys(found))


def faults(service: Service) -> list[str]:
    """A sentence for each thing that a pam_totp.so line refuses people for, or where a person or an
    attacker gets further than meant before the refusal."""
    lines = service.stacks["auth"]
    try:
        found = [
            *reached_by_wrong_passwords(lines),
            *left_by_incorrect_codes(lines),
            *by_wrong_passwords(service),
        ]
    except Unknown:
        found = []  # `doubts` says so
    found += [
        f"the pam_totp.so line has an invalid option, {option}, so every login is refused"
        for line in lines
        for option in totp_lines.invalid_options(line)
    ]
    return list(dict.fromkeys(found))


def wants_key(service: Service) -> bool:
    """Whether it refuses everybody who has not passed a public key at sshd, and nobody else.
    Raises Unknown."""
    return bool(ways_in(service, with_key(True))) and not ways_in(service, with_key(False))


def is_combined(service: Service) -> bool:
    """Whether it reads the code from the same answer as the password."""
    return any(totp_lines.is_combined(line) for line in service.stacks["auth"])


def _without_a_code(service: Service) -> Iterator[str]:
    for way in ways_in(service):
        if {CODE, NO_CODE_NEEDED} & {*way.proved} or is_without_code(way.proved):
            continue
        if ROOT in way.proved and service.name in RUN_BY_USERS:
            continue
        enough = f"{way.words} alone is enough" if way.proved else "nothing is asked"
        yield f"{_reason(way, service)} ({enough})"


def _reason(way: Way, service: Service) -> str:
    """Why there is no code on a way: what happened at a line that asks, or what went around it."""
    met = next((step for step in way.steps if totp_lines.asks(step.line)), None)
    if met is not None:
        if any(step.action == "reset" and step.at > met.at for step in way.steps):
            return "a line after pam_totp.so can discard its result (reset)"
        control = met.line.control.lower()
        if control in ("optional", "sufficient"):
            return (
                f"pam_totp.so is {control!r} there, so an incorrect code does not refuse the login"
            )
        control = met.line.shown_control
        return f"the control of pam_totp.so, {control}, does not refuse every incorrect code"
    lines = service.stacks["auth"]
    first = next(at for at, line in enumerate(lines) if totp_lines.asks(line))
    before = [step for step in way.steps if step.at < first]
    if not before:
        return "nothing leads to the pam_totp.so line"
    last = before[-1]
    how = "jump over" if isinstance(last.action, int) else "accept a login before"
    return f"{_named(last.line, service)} can {how} the pam_totp.so line"


def by_wrong_passwords(service: Service) -> Iterator[str]:
    """Lines that ask for a password and go on after a wrong one, on a way where the code alone is
    enough."""
    for way in ways_in(service):
        wrong = (step for step in way.steps if step.line.module_name in REFUSING)
        if way.proved == (CODE,):
            for step in wrong:
                yield f"a wrong password at '{step.line.described}' does not refuse the login"


def refused_by_control(lines: Sequence[Line]) -> Iterator[str]:
    """A line that asks, and whose answers lead nowhere."""
    proved = {factor for way in all_ways(lines) for factor in way.proved}
    line = next(line for line in lines if totp_lines.asks(line))
    control = f"the control of pam_totp.so, {line.shown_control}"
    is_ours = line.module_name == totp_lines.MODULE
    if CODE not in proved and line.always is None:
        counts = line.actions[SUCCESS] in ("ok", "done")
        yield (
            "its lines accept no login" if counts else f"{control}, does not accept a correct code"
        )
    elif is_ours and line.actions[IGNORE] != "ignore" and NO_CODE_NEEDED not in proved:
        yield f"{control}, refuses users who need no code"


def of_keys(service: Service) -> Iterator[str]:
    """A line for public keys that does not jump to the code."""
    lines = service.stacks["auth"]
    gates = [(at, line) for at, line in enumerate(lines) if totp_lines.wants_key(line)]
    for at, gate in gates:
        jump = gate.actions[0]
        if not isinstance(jump, int):
            continue
        ways = ways_in(service, with_key(True))
        if not any(KEY in way.proved for way in ways) or any(
            PASSWORD in way.proved for way in ways
        ):
            target = lines[at + jump + 1 :][:1]
            where = _named(target[0], service) if target else "nowhere"
            yield f"{_named(gate, service)} jumps to {where}: run pam-totp enable sshd again"


def _named(line: Line, service: Service) -> str:
    is_own = line.file.rpartition("/")[2] == service.name
    place = f"line {line.number}" if is_own else f"line {line.number} of {line.file}"
    return f"{line.module} ({line.shown_control}, {place})"
