"""A secret that was shown at a login and that no code has proved yet: root's
/run/pam-totp/pending/UID.

Format 1, ASCII: the line "pam-totp pending 1 SECONDS_SINCE_BOOT", then the otpauth URI. It counts
for ten minutes, so that the QR code is the same after a reconnect.
"""

from pam_totp.records import volatile
from pam_totp.records.attempts import boot_seconds

KIND = "pending"
KEPT_SECONDS = 600

_HEADER = "pam-totp pending 1 "


def read(uid: int) -> str | None:
    """The URI that is pending; None without any. Raises OSError or Refused."""
    content = volatile.read(KIND, uid)
    if content is None:
        return None
    header, _, uri = content.decode("ascii", "replace").rstrip("\n").partition("\n")
    seconds = header.removeprefix(_HEADER)
    if not (header.startswith(_HEADER) and seconds.isdigit() and len(seconds) < 16):
        return None
    return uri if 0 <= boot_seconds() - int(seconds) < KEPT_SECONDS else None


def keep(uid: int, uri: str) -> None:
    """Makes a URI the pending one. Raises OSError or Refused."""
    volatile.write(KIND, uid, f"{_HEADER}{int(boot_seconds())}\n{uri}\n".encode("ascii"))


def remove(uid: int) -> bool:
    """Forgets it; whether this call did. Raises OSError or Refused."""
    return volatile.remove(KIND, uid)
