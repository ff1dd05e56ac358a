"""Enrolling at the login itself: the QR code before the prompt, once a first factor is proved.

The gate becomes this program (`enrollment: at-login`); the code that is typed goes to the
verifier, which saves the secret if it is right. Nothing here lets anybody in.

- A secret MUST NOT be shown before a first factor is proven: that the stack reached this line
  proves nothing, since `required` lines before it go on after a wrong password. Proofs are sshd's
  report of a public key, and the password, tried again at the service that never asks for a code.
"""

import os
import pwd
import socket
import sys
import termios

from pam_totp.access.decision import UNENROLLED
from pam_totp.access.facts import state_of
from pam_totp.enrollment import console, pam_password, qr
from pam_totp.enrollment.uri import new_uri
from pam_totp.login import own_process
from pam_totp.records.config import settings
from pam_totp.records.host import account, audit
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import pending
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.credential import Malformed, parse_line
from pam_totp.rules.reasons import NOT_ENROLLED, STATE_UNAVAILABLE, Failure
from pam_totp.rules.request import Request

MAX_PASSWORD_BYTES = 512  # what pam_exec passes on at most
# The largest QR code that fits 80x24 with the message, the key and the prompt, and twice beside it.
MAX_VERSION = 5


class Screen:
    """What the person at the prompt sees: columns and rows, 0 where no QR code can be drawn.

    taken_columns: of the first line, by the client itself."""

    def __init__(self, request: Request) -> None:
        self.columns, self.rows = console.COLUMNS, console.ROWS
        self.half_blocks, self.full_cell = console.blocks(True, None)
        self.taken_columns = 0
        if request.service == "sshd":
            # OpenSSH's client begins with "(USER@HOST) "; what it calls the host is not known here.
            self.taken_columns = len(f"({request.user}@{socket.gethostname()}) ")
            return  # the client's terminal: OpenSSH, PuTTY and paramiko pass text on as it is
        try:
            path = os.path.join("/dev", request.tty)
            terminal = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            self.columns = self.rows = 0
            return
        try:
            utf8, font = console.reads_utf8(terminal), console.font_of(terminal)
            self.half_blocks, self.full_cell = console.blocks(utf8, font)
            self.columns, self.rows = console.size_of(terminal)
        except (OSError, termios.error):
            self.columns = self.rows = 0
        finally:
            os.close(terminal)


def main() -> None:
    """Shows the secret, or logs why it is not shown. The verifier decides what follows."""
    request = own_process.read_request(dict(os.environb))
    configured = settings.load()
    try:
        user = account.find(request.user)
        if not is_first_factor_proved(request, user):
            detail = "no first factor is proven, so no QR code is shown"
            audit.write(request, "ask", NOT_ENROLLED, detail)
            say([configured.message("not_enrolled")])
            return
        uri = new_pending_uri(user, configured)
        lines = describe(uri, Screen(request), configured)
        detail = "a new secret is shown for enrolling at this login"
        audit.write(request, "ask", NOT_ENROLLED, detail)
    except (OSError, Failure, Malformed) as failure:
        said = failure.detail if isinstance(failure, Failure) else getattr(failure, "strerror", "")
        detail = f"cannot enroll at this login: {said or failure}"
        audit.write(request, "ask", STATE_UNAVAILABLE, detail)
        lines = [configured.message("not_enrolled")]
    say(lines)


def say(lines: list[str]) -> None:
    """Lines for the user, in UTF-8 whatever the locale of the application is."""
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
    sys.stdout.flush()


def is_first_factor_proved(request: Request, user: pwd.struct_passwd) -> bool:
    """Whether sshd says that a public key passed, or the password on standard input is right."""
    typed = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 1)
    if request.key:
        return True
    text = typed.removesuffix(b"\0").decode("utf-8", "surrogateescape")
    return bool(text) and not pam_password.what_is_wrong(user, text)


def new_pending_uri(user: pwd.struct_passwd, configured: settings.Settings) -> str:
    """A fresh secret, which counts for ten minutes. Raises OSError, Failure or Malformed."""
    attempts = Attempts(user.pw_uid)  # its lock: of two logins at once both are kept
    try:
        if state_of(user, configured, is_enforced=False) != UNENROLLED:
            raise Failure(STATE_UNAVAILABLE, "another login enrolled this user at the same time")
        uri = new_uri(
            user.pw_name,
            issuer=configured.values["issuer"],
            digits=int(configured.values["code.digits"]),
            period=int(configured.values["code.period"]),
            algorithm=configured.values["code.algorithm"],
            max_version=MAX_VERSION,
        )
        parse_line(uri)
        os.umask(0o077)  # the application's may be a user's, and leave even the owner nothing
        secret_writer.try_out(SecretDir(user, configured.store), len(uri))
        pending.keep(user, uri)
        return uri
    finally:
        attempts.close()


def describe(uri: str, screen: Screen, configured: settings.Settings) -> list[str]:
    """Message, the QR code where it fits, and the key right above the prompt, where it is seen
    whatever becomes of the rest: no colour passes through a prompt."""
    key = uri.partition("secret=")[2].partition("&")[0]
    groups = " ".join(key[start : start + 4] for start in range(0, len(key), 4))
    message, background = configured.message("enroll"), configured.values["enrollment_qr"]
    lines = [message, f"Key: {groups}"]
    if not screen.columns or background not in qr.BACKGROUNDS:
        return lines
    # A line that is too long takes more rows than one.
    lengths = [screen.taken_columns + len(message), len(lines[1])]
    rows = screen.rows - sum(max(1, -(-length // screen.columns)) for length in lengths)
    drawn = qr.draw(
        uri,
        columns=screen.columns,
        rows=rows,
        half_blocks=screen.half_blocks,
        colour=False,
        full_cell=screen.full_cell,
        background=background,
    )
    return [message, *(drawn or []), lines[1]]
