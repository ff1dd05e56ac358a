# SPDX-License-Identifier: MIT
"""Enrolling at the login itself: the QR code before the prompt, once a first factor is proved.

The gate becomes this program (`enrollment: at-login`); the code that is typed goes to the
verifier, which saves the secret if it is correct. Nothing here accepts a login.

- A secret MUST NOT be shown before a first factor is proven (pam_totp.login.first_factor), nor to
  a user who has another second factor, though the rule of this login does not accept it.
"""

import os
import pwd
import socket
from contextlib import closing
from time import gmtime, strftime

from pam_totp.enrollment import console, qr
from pam_totp.enrollment.uri import key_of, new_uri
from pam_totp.login import first_factor
from pam_totp.records import fleet
from pam_totp.records.config.settings import FLEET, Settings, load
from pam_totp.records.host import account, audit
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import attempts, contacts, pending
from pam_totp.rules.reasons import NOT_ENROLLED, STATE_UNAVAILABLE, Failure
from pam_totp.rules.request import Request, read_request

# The largest QR code that fits 80x24 with the message, the key and the prompt, and twice beside it.
MAX_VERSION = 5


def main() -> None:
    """Shows the secret, or logs why it is not shown. The verifier decides what follows."""
    request = read_request(dict(os.environb))
    settings = load()
    lines = [settings.message("not_enrolled")]
    reason, detail = NOT_ENROLLED, "no first factor is proven, so no QR code is shown"
    try:
        user = account.find(request.user)
        if contacts.has_confirmed(user):
            detail = "codes are sent to this user, so no QR code is shown; run: pam-totp enroll"
        elif first_factor.is_proved(request, user):
            lines = describe(new_pending_uri(user, settings), request, settings)
            detail = "a new secret is shown for enrolling at this login"
    except (OSError, Failure) as failure:  # the last argument is the text of either
        reason, detail = STATE_UNAVAILABLE, f"cannot enroll at this login: {failure.args[-1]}"
    audit.write(request, "ask", reason, detail)
    os.write(1, "".join(f"{line}\n" for line in lines).encode())  # in UTF-8 whatever the locale is


def new_pending_uri(user: pwd.struct_passwd, settings: Settings) -> str:
    """A fresh secret, which counts for ten minutes. Raises OSError or Failure."""
    if settings.store == FLEET:  # which remembers what it has made
        new = fleet.enroll_begin(user.pw_name, "", "phone")
        return new_uri(user.pw_name, settings.values | new.chosen(), fits, label=user.pw_name)
    with closing(attempts.Attempts(user.pw_uid)):  # its lock: of two logins at once both are kept
        uri = new_uri(user.pw_name, settings.values, fits)
        secret_writer.try_out(SecretDir(user, settings.store), len(uri))
        pending.keep(user, uri + strftime("&added=%Y%m%dT%H%MZ", gmtime()))  # records.user.devices
        return uri


def fits(uri: str) -> bool:
    """Whether its QR code does."""
    return qr.version_of(uri) <= MAX_VERSION


def describe(uri: str, request: Request, settings: Settings) -> list[str]:
    """Message, the QR code where it fits, and the key right above the prompt, where it is seen
    whatever becomes of the rest: no colour passes through a prompt."""
    message, key = settings.message("enroll"), f"Key: {key_of(uri)}"
    columns, rows, half_blocks, full_cell = screen_of(request)
    if not columns or settings.values["enrollment_qr"] == "off":
        return [message, key]
    # OpenSSH's client begins with "(USER@HOST) "; what it calls the host is not known here.
    prefix = f"({request.user}@{socket.gethostname()}) " if request.service == "sshd" else ""
    # A line that is too long takes more rows than one.
    rows -= sum(len(line) // columns + 1 for line in (prefix + message, key))
    drawn = qr.draw(uri, columns, rows, half_blocks, full_cell, settings.values["enrollment_qr"])
    return [message, *(drawn or []), key]


def screen_of(request: Request) -> tuple[int, int, bool, str]:
    """What the person at the prompt sees: columns and rows, 0 where no QR code can be drawn, and
    with which blocks (console.blocks)."""
    if request.service == "sshd":  # OpenSSH, PuTTY and paramiko pass text on as it is
        return (console.COLUMNS, console.ROWS, *console.blocks(True, None))
    try:
        path = os.path.join("/dev", request.tty)
        terminal = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        size = console.size_of(terminal)
    except OSError:
        return 0, 0, False, ""
    font = console.font_of(terminal)
    return (*size, *console.blocks(console.reads_utf8(terminal), font))
