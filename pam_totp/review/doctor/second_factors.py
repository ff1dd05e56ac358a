# SPDX-License-Identifier: MIT
"""Lines for a security key or a fingerprint in place of the code: modules that are missing, keys of
the wrong machine, and files of keys to which others could add their own. (What such a line opens is
said with the ways to log in.)"""

import os
import pwd
import shlex
import stat
from collections.abc import Iterator

from pam_totp.records.storage.walk import ODD, Walk
from pam_totp.review.doctor import repairs
from pam_totp.review.doctor.findings import AT_RISK, OPEN, Finding
from pam_totp.review.doctor.host import Host, auth_of
from pam_totp.review.elsewhere import is_over_the_network
from pam_totp.review.in_place_of_codes import U2F, USUAL_KEYS
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.rules.reasons import Failure
from pam_totp.rules.repair_for_root import repair_for_root
from pam_totp.stack import sshd_running
from pam_totp.stack.factors import CODE, SECURITY_KEY
from pam_totp.stack.libpam import MODULE_UNKNOWN, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.profile import FINGER
from pam_totp.stack.service import Service, options_of
from pam_totp.stack.ways_in import ways_in

PACKAGES = {U2F: "libpam-u2f", FINGER: "libpam-fprintd"}
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    files, sshds = set[str](), _services_of_sshds()
    for service in host.services.values():
        for line in auth_of(service):
            if is_missing(line):
                yield _missing(service, line)
            elif line.module_name == U2F:
                files.add(options_of(line).get("authfile", USUAL_KEYS))
                yield from _of_keys(host, service, line, sshds)
    for name in sorted(files):
        found = _of_file(name) if name.startswith("/") else _of_homes(host, name)
        yield from found


def _services_of_sshds() -> set[str]:
    try:
        return sshd_running.services()
    except Unknown:
        return set()  # what is wrong with sshd's settings is said with these


def is_missing(line: Line) -> bool:
    """Whether its module is not installed, and logins go on without it."""
    is_such = line.module_name in PACKAGES and line.always == MODULE_UNKNOWN
    return is_such and line.actions[MODULE_UNKNOWN] not in ("bad", "die")


def _missing(service: Service, line: Line) -> Finding:
    return Finding(
        severity=AT_RISK,
        kind="key-module-missing",
        what=f"{line.module_name} is not installed, and {service.name} has a line for it "
        f"({line.place})",
        consequence="Nobody is asked for a key or a finger there, and the code is asked for.",
        command=f"apt-get install {PACKAGES[line.module_name]}",
    )


def _of_keys(host: Host, service: Service, line: Line, sshds: set[str]) -> Iterator[Finding]:
    is_elsewhere = is_over_the_network(service.name) or service.name in sshds
    if is_elsewhere and _is_enough(service):
        yield Finding(
            severity=AT_RISK,
            kind="key-of-this-machine",
            what=f"{service.name} takes a security key of this machine for a code ({line.place}), "
            "and its users sit elsewhere",
            consequence="If somebody touches it here, a stranger who has a password is accepted.",
            command=repairs.look_at(line.file, line.number),
        )
    is_of_user = not options_of(line).get("authfile", USUAL_KEYS).startswith("/")
    if is_of_user and host.active.store != "user":
        yield Finding(
            severity=AT_RISK,
            kind="keys-in-homes",
            what=f"the line of {U2F} in {line.file} reads the users' own files, and secrets are "
            f"root's (store: {host.active.store})",
            consequence="A program that runs as a user can add a key, and log in with it.",
            command=repairs.of_line(service, line),
        )


def _is_enough(service: Service) -> bool:
    """Whether there is a way in with a security key and without a code."""
    try:
        ways = ways_in(service)
    except Unknown:
        return False  # the table of ways says so
    return any(SECURITY_KEY in way.proved and CODE not in way.proved for way in ways)


def _of_file(path: str) -> Iterator[Finding]:
    """root's file of the keys of all users."""
    status = _status(path)
    if status is None:
        return
    if status.st_uid != 0:
        consequence = "Its owner can add keys."
        yield _open_file(path, f"is owned by user id {status.st_uid}", consequence, "chown root")
    if status.st_mode & WRITABLE_BY_OTHERS:
        consequence = "Users who may write it can add a key for any user."
        yield _open_file(path, "is writable by group or others", consequence, "chmod go-w")


def _open_file(path: str, what: str, consequence: str, command: str) -> Finding:
    return Finding(
        severity=OPEN,
        kind="key-file-writable",
        what=f"{path}, with the security keys of users, {what}",
        consequence=consequence,
        command=f"{command} {shlex.quote(path)}",
    )


def _of_homes(host: Host, name: str) -> Iterator[Finding]:
    def look(account: pwd.struct_passwd) -> str:
        return _fault_in_home(account, f"{account.pw_dir}/{name}")

    for account, answer in each_in_time(host.accounts, look):
        if answer is not NO_ANSWER and answer:
            what, _, command = repair_for_root(answer, account).partition("; run: ")
            yield Finding(
                severity=OPEN,
                kind="key-file-writable",
                what=f"the security keys of {account.pw_name}: {what}",
                consequence="Others can put a key of theirs there, which is then good for "
                f"{account.pw_name}, after the password.",
                command=command or shlex.join(["namei", "-l", f"{account.pw_dir}/{name}"]),
            )


def _fault_in_home(account: pwd.struct_passwd, path: str) -> str:
    """What lets others write a user's file of keys, or put another in its place. pam_u2f wants it
    to be the user's or root's, wherever a link leads; but not the folders on the way."""
    status = _status(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return ""
    try:
        for each in (path, os.path.realpath(path)):
            walk = Walk(user=account, is_checked=True)
            try:
                walk.go(os.path.dirname(each), follow=True)
            finally:
                if walk.folder >= 0:
                    os.close(walk.folder)
    except Failure as failure:
        return failure.detail
    except OSError:
        return ""  # it is gone
    if status.st_mode & WRITABLE_BY_OTHERS:
        shown = path.translate(ODD)
        return f"{shown} is writable by group or others; run: chmod go-w {shown}"
    return ""


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
