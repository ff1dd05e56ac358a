# SPDX-License-Identifier: MIT
"""Secrets that root has made for users, until a login with a code shows that the user has them.

The mark stays in the secret file (pam_totp.records.user.devices), because a login never writes
there: root's record of logins with a code says when it no longer counts.
"""

import re

from pam_totp.records.user.devices import UNCONFIRMED, moment_of

_MARKED = re.compile(rf"^[^#\s]\S*[?&]{UNCONFIRMED}=([^&#\s]*)".encode(), re.MULTILINE)


def is_unconfirmed(content: bytes, last_login: int | None) -> bool:
    """Whether nobody has logged in with a code since the secret was made. last_login: with a code,
    in Unix seconds; None for never."""
    times = [moment_of(found.decode("utf-8", "replace")) for found in _MARKED.findall(content)]
    made = [time for time in times if time is not None]
    return bool(made) and (last_login is None or last_login < max(made))
