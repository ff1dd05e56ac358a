# SPDX-License-Identifier: MIT
"""Whether a user may log in with a key, as far as files tell."""

import os
import pwd
from collections.abc import Mapping

from pam_totp.stack.sshd_match import Login


def has_key(login: Login, settings: Mapping[str, str]) -> bool:
    """By sshd's settings for the user; True where it cannot be determined."""
    if settings.get("pubkeyauthentication") != "yes":
        return False
    if settings.get("authorizedkeyscommand", "none") != "none":
        return True
    if settings.get("trustedusercakeys", "none") != "none":
        return True
    try:
        home = pwd.getpwnam(login.user).pw_dir
    except KeyError:
        return True
    patterns = settings.get("authorizedkeysfile", "").split()
    return any(_has_content(_path(pattern, login.user, home)) for pattern in patterns)


def _path(pattern: str, user: str, home: str) -> str:
    pieces = pattern.split("%%")
    path = "%".join(piece.replace("%u", user).replace("%h", home) for piece in pieces)
    return path if path.startswith("/") else f"{home}/{path}"


def _has_content(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False
