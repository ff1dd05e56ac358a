# SPDX-License-Identifier: MIT
"""Who has a security key or a fingerprint that a service of this host accepts in place of a code.

- A file in a home MUST be read as its user, and no read MUST wait for a writer.
"""

import os
import pwd
import stat
from collections.abc import Iterator

from pam_totp.records.host.account import ActingAs
from pam_totp.records.storage.secret_dir import stores_of
from pam_totp.rules.reasons import FINGERPRINT, SECURITY_KEY, Failure
from pam_totp.stack.files import File
from pam_totp.stack.libpam import Unknown, installed
from pam_totp.stack.lines import Line
from pam_totp.stack.profile import FINGER
from pam_totp.stack.service import options_of, read_service
from pam_totp.stack.services import has_line, names

U2F = "pam_u2f.so"
USUAL_KEYS = ".config/Yubico/u2f_keys"
PRINTS = "/var/lib/fprint"  # of fprintd, a folder for each user
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_BYTES = 1_000_000


class InPlaceOfCodes:
    """What the services of this host that ask for codes accept in their place."""

    def __init__(self) -> None:
        lines = list(_lines())
        of_keys = [options_of(line) for line in lines if line.module_name == U2F]
        self._files = {each.get("authfile", USUAL_KEYS) for each in of_keys}
        self._of_root: dict[str, set[bytes]] = {}
        self._has_fingers = any(line.module_name == FINGER for line in lines)

    def of(self, account: pwd.struct_passwd) -> list[str]:
        """The kinds that a user has, the weaker first, as far as the caller can see."""
        found = [FINGERPRINT] if self._has_fingers and _has_print(account) else []
        name = os.fsencode(account.pw_name)
        if any(name in self._users_in(path, account) for path in self._files):
            found.append(SECURITY_KEY)
        return found

    def _users_in(self, path: str, account: pwd.struct_passwd) -> set[bytes]:
        if not path.startswith("/"):
            return _users_in(f"{account.pw_dir}/{path}", account)
        if path not in self._of_root:
            self._of_root[path] = _users_in(path, None)
        return self._of_root[path]


def _lines() -> Iterator[Line]:
    """Of the services that ask for a code."""
    try:
        libpam = installed()
    except Unknown:
        return
    known: dict[str, File | None] = {}
    for name in names("", libpam):
        try:
            service = read_service(name, libpam, "", known)
        except Unknown:
            continue
        if not service.refused and has_line(service):
            yield from service.stacks["auth"]


def _users_in(path: str, account: pwd.struct_passwd | None) -> set[bytes]:
    """Who has a key in a file, read as this user: a line is USER:KEY (pam_u2f(8))."""
    try:
        if account is None:
            content = _read(path)
        else:
            with ActingAs(account=account):
                content = _read(path)
    except (OSError, Failure):
        return set()
    parts = (line.partition(b":") for line in content.split(b"\n"))
    return {name for name, _, key in parts if key.strip()}


def _read(path: str) -> bytes:
    with open(os.open(path, _FLAGS), "rb") as file:
        is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        return file.read(_MAX_BYTES) if is_file else b""


def _has_print(account: pwd.struct_passwd) -> bool:
    is_name = "system" in stores_of(account)
    return is_name and any(files for _, _, files in os.walk(f"{PRINTS}/{account.pw_name}"))
