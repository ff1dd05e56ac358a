# SPDX-License-Identifier: MIT
"""The program that sends a code: which one, as whom, and what it reads.

- It MUST NOT get the code as an argument or in its environment, which every user can read.
- It MUST run as an account that is not root's, without a shell.
- A program that somebody other than root could change MUST NOT be run.
"""

import os
import pwd
import stat

from pam_totp.records.config.settings import Settings
from pam_totp.records.config.way import fault_of_the_way
from pam_totp.records.host.account import ActingAs
from pam_totp.records.storage.checked_file import WRITABLE_BY_OTHERS
from pam_totp.rules.reasons import SEND_FAILED, Failure
from pam_totp.rules.record import Record
from pam_totp.sending.message import Message

ACCOUNT = "pam-totp-send"
# By the name in the settings: the program, the account that may give it messages, the package.
GAMMU = ("/usr/bin/gammu-smsd-inject", "gammu", "gammu-smsd")
GAMMU_SETTINGS = "/etc/gammu-smsdrc"
SENDMAIL = ("/usr/sbin/sendmail", ACCOUNT, "a mail server")
KNOWN = {"gammu": GAMMU, "sendmail": SENDMAIL}


class Program(Record):
    """command: path and arguments; account: as whom it runs; given: on its standard input."""

    command: list[str]
    account: pwd.struct_passwd
    given: bytes


def program_for(message: Message, settings: Settings) -> Program:
    """Raises Failure where it cannot be run."""
    setting = settings.values[f"send.{message.kind}"]
    path, account = sender_of(setting)
    command, given = [path], message.as_json()
    if setting == "gammu":
        given = message.text.encode()
        # Without a length the rest of what one text message does not hold is cut off.
        options = ["-autolen", str(len(given)), *([] if message.text.isascii() else ["-unicode"])]
        command = [path, "TEXT", message.to, *options]
    elif setting == "sendmail":
        command, given = [path, "-i", "--", message.to], message.as_mail()
    return Program(command=command, account=account, given=given)


def sender_of(setting: str) -> tuple[str, pwd.struct_passwd]:
    """The path of the program that a setting names, and as whom it runs. Raises Failure where it
    cannot be run."""
    path, name, package = KNOWN.get(setting, (setting, ACCOUNT, ""))
    if fault := fault_of(path, package):
        raise Failure(SEND_FAILED, fault)
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise Failure(SEND_FAILED, f"there is no account {name}, as which codes are sent") from None
    if account.pw_uid == 0:
        raise Failure(SEND_FAILED, f"the account {name} is root's")
    return path, account


def refuse_unless_it_may_run(setting: str) -> None:
    """For commands: looking up the account's groups takes a directory that hangs too long for a
    login, which is told by the program that cannot be run. Raises Failure."""
    path, account = sender_of(setting)
    with ActingAs(account=account, all_groups=True):
        if not os.access(path, os.X_OK, effective_ids=True):
            raise Failure(SEND_FAILED, may_not_run(account.pw_name, path))
        if setting == "gammu" and not os.access(GAMMU_SETTINGS, os.R_OK, effective_ids=True):
            what = f"{account.pw_name} cannot read {GAMMU_SETTINGS}"
            repair = f"chgrp {account.pw_name} {GAMMU_SETTINGS} && chmod 640 {GAMMU_SETTINGS}"
            raise Failure(SEND_FAILED, f"{what}; run: {repair}")


def may_not_run(name: str, path: str) -> str:
    """What is wrong where the account has no permission."""
    return f"{name} may not run {path}; run: namei -l {path}"


def fault_of(path: str, package: str = "") -> str:
    """Why this program must not or cannot be run, with the repair; empty if it can."""
    try:
        status = os.stat(path)
        way = fault_of_the_way(path)
    except OSError as failure:
        missing = f"; install {package}" if package else ""
        return f"{path}: {failure.strerror}{missing}"
    if way and not path.startswith("/usr/"):
        # Not the repair of the folder: it may be a home, or /tmp.
        return f"{way.partition('; ')[0]}; move the program to /usr/local/sbin"
    if way:
        return way
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a program"
    if status.st_uid != 0:
        return f"{path} is owned by user id {status.st_uid}; run: chown root {path}"
    if status.st_mode & WRITABLE_BY_OTHERS:
        return f"{path} is writable by group or others; run: chmod go-w {path}"
    if not status.st_mode & 0o111:
        return f"{path} is not executable; run: chmod 755 {path}"
    return ""
