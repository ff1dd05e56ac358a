# SPDX-License-Identifier: MIT
"""The settings of sshd that keep a code from being asked for or entered, in each of its classes of
users and addresses."""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping

from pam_totp.review.doctor import sshd_blocks
from pam_totp.review.doctor.findings import OPEN, REFUSED, Finding, undetermined
from pam_totp.review.doctor.host import Host, auth_of
from pam_totp.review.doctor.repairs import is_marked, look_at
from pam_totp.review.doctor.sshd_settings import MAIN, USUAL_TRIES, of_class, set_first
from pam_totp.review.lockout import ELSEWHERE
from pam_totp.review.sshd_class import SshdClass, classes_of_sshd
from pam_totp.review.ways_of_sshd import proofs_of
from pam_totp.rules.policy import REQUIRED, SK
from pam_totp.stack import sshd, totp_lines
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.profile import AFTER_PASSWORDS, asks_by_profile
from pam_totp.stack.service import Service, options_of
from pam_totp.stack.sshd_running import servers
from pam_totp.stack.ways_in import ways_in

DROP_IN = "/etc/ssh/sshd_config.d/00-pam-totp.conf"
CHECK = "sshd -t"


def find(host: Host) -> Iterator[Finding]:
    """See the module. Nothing where sshd is not installed, or its service asks for no code."""
    if not os.path.exists(sshd.SSHD) or "sshd" in host.unreadable:
        return
    has_drop_in = os.path.exists(DROP_IN)
    if "sshd" not in host.asking:
        if has_drop_in:
            yield _left_alone()
        return
    lines = [
        line for line in auth_of(host.services["sshd"]) if line.module_name == totp_lines.MODULE
    ]
    tries = [int(options_of(line).get("tries") or USUAL_TRIES) for line in lines]
    is_combined = any(map(totp_lines.is_combined, lines))
    try:
        running = servers()
        classes = [each for server in running for each in classes_of_sshd(server).found]
        of_nobody = [each for server in running for each in sshd_blocks.of_nobody(server)]
    except Unknown as unknown:
        yield from _cannot_say(str(unknown))
        return
    yield from of_nobody
    said: set[tuple[str, str]] = set()
    for each in classes:
        who = words_of(each)
        of_line = max(tries, default=USUAL_TRIES), is_combined, _trusts_keys(host)
        is_roots = host.active.store != "user"
        for found in of_class(who, each.settings, *of_line, secrets_are_roots=is_roots):
            if (found.kind, found.consequence) not in said:  # the same for every class is one
                said.add((found.kind, found.consequence))
                yield _where_it_is_set(found, each)
        name = sshd.service_of(each.settings, each.server.name)
        if not each.logins.is_root and name in host.services:
            yield from _of_nobody(who, each, host.services[name])
        if each.logins.is_root and not any(block.is_match for block in each.logins.blocks):
            yield from of_root(each.settings)
    if has_drop_in:
        yield from _of_drop_in(sshd.settings_for("nobody", ELSEWHERE[0]))


def _trusts_keys(host: Host) -> bool:
    return any(rule.publickey == SK and rule.code != REQUIRED for rule in host.rules)


def _of_nobody(who: str, each: SshdClass, service: Service) -> Iterator[Finding]:
    """What sshd demands and what its PAM stack demands cannot both be had."""
    is_usual = not any(block.is_match for block in each.logins.blocks)
    if not (each.methods or is_usual) or not ways_in(service):
        return  # shut on purpose, or by the stack alone
    if each.settings.get("usepam") != "yes":
        return  # which is a fault of its own
    if any(proof for methods in each.methods for proof in proofs_of(methods, each, service)):
        return
    methods = " or ".join(sshd.shown(way) for way in each.methods) or "no method"
    yield Finding(
        severity=REFUSED,
        kind="sshd-accepts-nobody",
        what=f"sshd accepts {methods} for {who}, but its PAM stack accepts nobody that way",
        consequence="Logins over ssh are refused, with or without a code.",
        command=_repair(service),
    )


def _repair(service: Service) -> str:
    keys = [line for line in auth_of(service) if totp_lines.wants_key(line)]
    if asks_by_profile(service):
        return AFTER_PASSWORDS
    if is_marked(service) or not keys:
        return "pam-totp enable sshd"
    return look_at(keys[0].file, keys[0].number)


def _where_it_is_set(found: Finding, each: SshdClass) -> Finding:
    """What a Match block says goes before what the file begins with."""
    if each.server.path != MAIN:
        found = dataclasses.replace(found, command=found.command.replace(MAIN, each.server.path))
    blocks = [block for block in each.logins.blocks if block.is_match]
    if not blocks:
        return found
    return dataclasses.replace(found, command=look_at(blocks[-1].file, blocks[-1].number))


def words_of(each: SshdClass) -> str:
    """Which logins a class has."""
    criteria = " ".join(f"{name} {argument}".strip() for name, argument in each.logins.criteria)
    who = "root" if each.logins.is_root else "all users"
    if criteria:
        who = f"the logins of `Match {criteria}`"
    return " ".join([who, *filter(None, [each.server.words])])


def of_root(settings: Mapping[str, str]) -> Iterator[Finding]:
    """root has a key, and sshd refuses root wherever PAM is asked."""
    keys = "/root/.ssh/authorized_keys"
    allowed = settings.get("permitrootlogin", "")
    if allowed == "no" or settings.get("usepam") != "yes" or not _has_text(keys):
        return
    if not sshd.ways(dict(settings), 0):
        yield Finding(
            severity=REFUSED,
            kind="sshd-refuses-root",
            what=f"root has {keys}, and sshd refuses root whenever PAM is asked "
            f"(PermitRootLogin {allowed.replace('without-', 'prohibit-')})",
            consequence="root cannot log in over ssh, with or without a code.",
            command=set_first("PermitRootLogin yes"),
        )


def _of_drop_in(settings: Mapping[str, str]) -> Iterator[Finding]:
    with open(DROP_IN, encoding="utf-8", errors="replace") as file:
        wanted = re.findall(r"^(\w+)[ \t]+(.*?)[ \t]*$", file.read(), re.MULTILINE)
    unused = [
        keyword
        for keyword, value in wanted
        if settings.get(keyword.lower(), value).lower() != value.lower()
    ]
    if unused:
        yield Finding(
            severity=OPEN,
            kind="sshd-drop-in-unused",
            what=f"sshd does not use {DROP_IN}: {', '.join(unused)} has another value",
            consequence=f"What {DROP_IN} says about codes does not apply over ssh.",
            command=f"sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' {MAIN}",
        )


def _left_alone() -> Finding:
    return Finding(
        severity=OPEN,
        kind="sshd-settings-without-line",
        what=f"{DROP_IN} is there, but /etc/pam.d/sshd has no pam_totp.so line",
        consequence="sshd asks PAM after a key, too, and PAM asks for no code.",
        command="pam-totp enable sshd",
    )


def _cannot_say(why: str) -> Iterator[Finding]:
    if "comma" in why:
        yield undetermined(why, "sshd -T")
        return
    if sshd.MISSING in why:  # a stopped sshd says nothing, and nothing is changed here
        yield undetermined(why, f"mkdir -m 755 {sshd.PRIVILEGE_SEPARATION}")
        return
    yield Finding(
        severity=REFUSED,
        kind="sshd-settings-fault",
        what=f"sshd does not start with its settings: {why}",
        consequence="Nobody can log in over ssh once sshd is started again.",
        command=CHECK,
    )


def _has_text(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return any(line.strip() and not line.startswith(b"#") for line in file)
    except OSError:
        return False
