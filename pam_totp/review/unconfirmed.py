# SPDX-License-Identifier: MIT
"""Secrets that root has made for users, until a login with a code shows that the user has them.

The mark is a parameter of the URI in the secret file, with the time of the enrollment in Unix
seconds: `&x-pam-totp=unconfirmed.TIME`. Logins and apps ignore a parameter that they do not know.
It is never in a QR code. It stays in the file, because a login never writes there: root's record of
logins with a code says when it no longer counts.
"""

import re

PARAMETER = "x-pam-totp=unconfirmed."
_MARKED = re.compile(rb"^[^#\s]\S*[?&]x-pam-totp=unconfirmed\.(\d{1,12})(?=[&#\s]|$)", re.M)


def marked(uri: str, now: float) -> str:
    """The URI of a new secret, as it is kept in the file."""
    return f"{uri}&{PARAMETER}{int(now)}"


def is_unconfirmed(content: bytes, last_login: int | None) -> bool:
    """Whether nobody has logged in with a code since the secret was made. last_login: with a code,
    in Unix seconds; None for never."""
    times = [int(found) for found in _MARKED.findall(content)]
    return bool(times) and (last_login is None or last_login < max(times))
