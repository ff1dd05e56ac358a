# SPDX-License-Identifier: MIT
"""Codes that are sent: what sends them, text messages that wait, and where they go."""

import os
import pwd
import re
import shlex
from collections.abc import Iterator

from pam_totp.errors import command, option
from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user import contact_list, contacts
from pam_totp.records.user.contact_list import Recorded
from pam_totp.review.doctor.findings import AT_RISK, REFUSED, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.settings_file import CHECK
from pam_totp.review.sent_codes import accepted_by
from pam_totp.rules.policy import SMS
from pam_totp.rules.reasons import Failure
from pam_totp.sending.programs import (
    ACCOUNT,
    GAMMU,
    GAMMU_SETTINGS,
    KNOWN,
    SENDMAIL,
    fault_of,
    refuse_unless_it_may_run,
)

WAITING_SECONDS, STUCK_SECONDS = 60, 600  # the modem takes some seconds for each
MAX_NAMED = 3
INSTALL = {GAMMU[0]: "apt-get install gammu-smsd", SENDMAIL[0]: "apt-get install default-mta"}
ADD_ACCOUNT = "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "
_CONSEQUENCE = "Users who have nothing else cannot log in where a code is required."
_OUTBOX = re.compile(r"^\s*outboxpath\s*=\s*(/[^\n]*?)/?\s*$", re.IGNORECASE | re.MULTILINE)


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    accepted = accepted_by(host.rules)
    settings = {kind: host.active.values[f"send.{kind}"] for kind in accepted}
    for setting in dict.fromkeys(settings.values()):
        yield from _of_program(setting)
    if settings.get(SMS) == "gammu":
        yield from _of_outbox(host.now)
    everybody = contact_list.everybody()
    yield from _without_user([each for each in everybody if not each.user])
    yield from _of_unconfirmed(everybody, accepted)


def _of_program(setting: str) -> Iterator[Finding]:
    path, account, _ = KNOWN.get(setting, (setting, ACCOUNT, ""))
    if not os.path.exists(path):
        what = f"there is no {path}, which sends codes"
        yield Finding(REFUSED, "send-program-missing", what, _CONSEQUENCE, INSTALL.get(path, CHECK))
    elif fault := fault_of(path):
        what, _, repair = fault.partition("; run: ")
        if not repair:
            repair = f"chown root {shlex.quote(path)} && chmod 755 {shlex.quote(path)}"
        what = f"a program that sends codes is not run: {what}"
        yield Finding(REFUSED, "send-program-unsafe", what, _CONSEQUENCE, repair)
    try:
        is_root = pwd.getpwnam(account).pw_uid == 0
    except KeyError:
        what = f"there is no account {account}, as which codes are sent"
        is_ours = account == ACCOUNT
        repair = f"{ADD_ACCOUNT}{account}" if is_ours else f"{INSTALL[path]} --reinstall"
        yield Finding(REFUSED, "send-account-missing", what, _CONSEQUENCE, repair)
        return
    if is_root:
        what = f"the account {account}, as which codes are sent, has the user id of root"
        yield Finding(REFUSED, "send-account-of-root", what, _CONSEQUENCE, f"id {account}")
    elif os.path.exists(path) and not fault_of(path):
        try:
            refuse_unless_it_may_run(setting)
        except Failure as failure:
            what, _, repair = failure.detail.partition("; run: ")
            what = f"a program that sends codes fails: {what}"
            yield Finding(REFUSED, "send-program-fails", what, _CONSEQUENCE, repair or CHECK)


def _of_outbox(now: float) -> Iterator[Finding]:
    """Text messages that gammu-smsd should have sent; of one that keeps them in a database nothing
    is known."""
    try:
        with open(GAMMU_SETTINGS, encoding="utf-8", errors="replace") as file:
            found = _OUTBOX.search(file.read(1 << 16))
        names = [each for each in os.listdir(found[1]) if each.startswith("OUT")] if found else []
        ages = [now - os.stat(f"{found[1]}/{name}").st_mtime for name in names] if found else []
    except FileNotFoundError:
        return  # no settings, or a message that was sent a moment ago
    is_running = _runs("gammu-smsd")
    late = [age for age in ages if age > (STUCK_SECONDS if is_running else WAITING_SECONDS)]
    if not (found and late):
        return
    does = "runs" if is_running else "does not run"
    kind = "text-messages-stuck" if is_running else "gammu-smsd-stopped"
    yield Finding(
        severity=REFUSED,
        kind=kind,
        what=f"text messages that wait in {found[1]}: {len(late)}, and gammu-smsd {does}",
        consequence=_CONSEQUENCE,
        command="journalctl -u gammu-smsd" if is_running else "systemctl start gammu-smsd",
    )


def _runs(name: str) -> bool:
    for number in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/comm", encoding="utf-8", errors="replace") as file:
                if file.read() == f"{name}\n":
                    return True
        except OSError:
            continue  # it has ended
    return False


def _without_user(gone: list[Recorded]) -> Iterator[Finding]:
    if gone:
        paths = [f"{VAR.path}/{contacts.KIND}/{each.uid}" for each in gone]
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        yield Finding(
            severity=AT_RISK,
            kind="contact-without-user",
            what=f"{paths[0]}{more} is of an account that is gone, or has another name now",
            consequence="No code is sent there. A user who was renamed needs the contact again.",
            command=f"rm {shlex.join(paths[:20])}",
        )


def _of_unconfirmed(everybody: list[Recorded], accepted: tuple[str, ...]) -> Iterator[Finding]:
    found = [
        (each.user, kind, contact.address)
        for each in everybody
        for kind, contact in each.contacts.items()
        if each.user and kind in accepted and not contact.confirmed
    ]
    if not found:
        return
    named = ", ".join(f"{user} ({kind})" for user, kind, _ in found[:MAX_NAMED])
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    user, kind, address = found[0]
    yield Finding(
        severity=AT_RISK,
        kind="contact-unconfirmed",
        what=f"contacts from which no code has come back: {named}{more}",
        consequence="It is not known whether codes arrive there, and with whom.",
        command=command("contact", user, options=option(f"--{kind}", address)),
    )
