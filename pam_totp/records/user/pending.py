# SPDX-License-Identifier: MIT
"""Secrets that were shown at a login and that no code has confirmed yet: stamps "URI NAME", with
the user's name (pam_totp.records.user.stamps). The newest eight are kept.

- Every login MUST be shown a secret of its own: somebody else who knows the password may have seen
  an earlier one. The one whose code is typed is saved, and the others are forgotten.
- A secret MUST NOT count for the next user of the same id, so the name stands beside it.
"""

import pwd

from pam_totp.records.user import stamps

KIND = "pending"
KEPT_SECONDS = 600
MAX_KEPT = 8


def read(user: pwd.struct_passwd) -> list[str]:
    """The URIs that count for this user, newest first."""
    kept = [text.partition(" ") for text in stamps.read(KIND, user.pw_uid, KEPT_SECONDS)]
    return [uri for uri, _, name in reversed(kept) if name == user.pw_name]


def keep(user: pwd.struct_passwd, uri: str) -> None:
    """Adds one; the oldest goes if there are too many. Raises OSError or Failure."""
    stamps.add(KIND, user.pw_uid, f"{uri} {user.pw_name}", KEPT_SECONDS, MAX_KEPT)
