# SPDX-License-Identifier: MIT
"""Secrets that were shown at a login and that no code has confirmed yet: root's
/run/pam-totp/pending/UID.

Format 1: the line "pam-totp pending 1 NAME", the user's name, then for each secret a line
"SECONDS_SINCE_BOOT URI", oldest first. Each counts for ten minutes, and the newest eight are kept.

- Every login MUST be shown a secret of its own: somebody else who knows the password may have seen
  an earlier one. The one whose code is typed is saved, and the others are forgotten.
"""

import pwd

from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user.attempts import boot_seconds

KIND = "pending"
KEPT_SECONDS = 600
MAX_KEPT = 8


def read(user: pwd.struct_passwd) -> list[str]:
    """The URIs that count for this user, newest first. Raises Failure."""
    return [line.partition(" ")[2] for line in reversed(_lines(user))]


def keep(user: pwd.struct_passwd, uri: str) -> None:
    """Adds one; the oldest goes if there are too many. Raises OSError or Failure."""
    lines = [*_lines(user), f"{int(boot_seconds())} {uri}"][-MAX_KEPT:]
    content = "\n".join([_header(user), *lines])
    RUN.write(KIND, user.pw_uid, content.encode("utf-8", "surrogateescape"))


def remove(uid: int) -> bool:
    """Forgets all of them; whether this call did. Raises OSError or Failure."""
    return RUN.remove(KIND, uid)


def _header(user: pwd.struct_passwd) -> str:
    return f"pam-totp pending 1 {user.pw_name}"


def _lines(user: pwd.struct_passwd) -> list[str]:
    content = RUN.read(KIND, user.pw_uid) or b""
    header, *lines = content.decode("utf-8", "surrogateescape").strip("\n").split("\n")
    if header != _header(user):
        return []  # of an earlier user of this id
    oldest = boot_seconds() - KEPT_SECONDS
    dated = [line for line in lines if line.partition(" ")[0].isdigit()]
    return [line for line in dated if oldest < int(line.partition(" ")[0]) <= boot_seconds()]
