"""A secret that was shown at a login and that no code has proved yet: root's
/run/pam-totp/pending/UID.

Format 1, ASCII: the line "pam-totp pending 1 SECONDS_SINCE_BOOT HASH", then the otpauth URI. It
counts for ten minutes, so that the QR code is the same after a reconnect.

- It MUST count only for the login that HASH stands for: the same user, service, address, terminal,
  caller and public key. Over ssh with a password that leaves whoever comes from the same address,
  and knows the password: so a secret that is shown again is said to be (pam_totp.enroll.offer).
"""

from pam_totp.records import volatile
from pam_totp.records.attempts import boot_seconds
from pam_totp.rules.otp import ALGORITHMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pam_totp.rules.request import Request

KIND = "pending"
KEPT_SECONDS = 600

_HEADER = "pam-totp pending 1 "


def read(uid: int, request: "Request") -> str | None:
    """The URI that is pending for such a login; None without any. Raises OSError or Refused."""
    content = volatile.read(KIND, uid)
    if content is None:
        return None
    header, _, uri = content.decode("ascii", "replace").rstrip("\n").partition("\n")
    seconds, _, binding = header.removeprefix(_HEADER).partition(" ")
    if not (header.startswith(_HEADER) and seconds.isdigit() and len(seconds) < 16):
        return None
    if binding != _binding(request):
        return None
    return uri if 0 <= boot_seconds() - int(seconds) < KEPT_SECONDS else None


def keep(uid: int, uri: str, request: "Request") -> None:
    """Makes a URI the pending one, for such a login. Raises OSError or Refused."""
    header = f"{_HEADER}{int(boot_seconds())} {_binding(request)}"
    volatile.write(KIND, uid, f"{header}\n{uri}\n".encode("ascii"))


def remove(uid: int) -> bool:
    """Forgets it; whether this call did. Raises OSError or Refused."""
    return volatile.remove(KIND, uid)


def _binding(request: "Request") -> str:
    new_hash, _ = ALGORITHMS["SHA256"]
    parts = [request.user, request.service, request.rhost, request.tty, request.ruser, request.key]
    text = "\0".join(["pam-totp shown 2", *parts]).encode("utf-8", "surrogateescape")
    return str(new_hash(text).hexdigest())
