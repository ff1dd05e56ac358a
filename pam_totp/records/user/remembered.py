# SPDX-License-Identifier: MIT
"""Codes accepted recently, for the setting `remember`: stamps (pam_totp.records.user.stamps) of a
hash that binds all of the below.

- A stamp MUST hold for nothing but the same user, secret, address and, over ssh, the same public
  key; elsewhere the same session on the same terminal.
"""

import posix
import pwd

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.secret_dir import SECRET, SecretDir
from pam_totp.records.user import stamps
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request

KIND = "remembered"
# Where the terminal and its session are those of the person who asks. Daemons (mail and file
# servers, display managers) name a terminal too, the same for everybody.
TERMINAL_SERVICES = ("su", "su-l", "sudo", "sudo-i")
MAX_STAMPS = 32


def holds(request: Request, user: pwd.struct_passwd, settings: Settings) -> bool:
    """Whether this login need not be asked again. What cannot be read remembers nothing."""
    try:
        binding = _binding(request, user, settings)
    except (Failure, OSError):
        return False
    return bool(binding) and binding in stamps.read(KIND, user.pw_uid, settings.remember_seconds)


def remember(request: Request, user: pwd.struct_passwd, settings: Settings) -> None:
    """Stamps this login. Where that fails the next one is asked, as if this were off."""
    try:
        if binding := _binding(request, user, settings):
            stamps.add(KIND, user.pw_uid, binding, settings.remember_seconds, MAX_STAMPS)
    except (Failure, OSError):
        pass


def _binding(request: Request, user: pwd.struct_passwd, settings: Settings) -> str:
    """What a stamp is bound to, hashed; empty where nothing would tell two people apart."""
    if posix.geteuid() != 0:
        return ""
    if request.key:
        by = request.key
    elif request.service in TERMINAL_SERVICES and request.tty and (session := _session()):
        by = f"{request.tty} {session}"
    else:
        return ""  # a password and an address are all that an attacker next door needs
    secret = SecretDir(user, settings.store).read(SECRET) or b""
    parts = [user.pw_name, str(user.pw_uid), request.service, request.rhost, request.ruser, by]
    new_hash, _ = ALGORITHMS["SHA256"]
    text = "\0".join(["pam-totp remembered 1", *parts]).encode("utf-8", "surrogateescape")
    return str(new_hash(text + b"\0" + secret).hexdigest())


def _session() -> str:
    """The session that asks for the login, and when it began: names of terminals are reused.
    Empty for one without a controlling terminal.

    pam_exec gives its program a session of its own; its parent is the application.
    """
    leader = posix.getsid(posix.getppid())
    with open(f"/proc/{leader}/stat", "rb") as file:
        fields = file.read(4096).rpartition(b")")[2].split()
    terminal, began = fields[4].decode("ascii"), fields[19].decode("ascii")  # proc(5): 7 and 22
    return f"{leader} {terminal} {began}" if terminal != "0" else ""
