"""A fresh secret as an otpauth URI, made by pyotp."""

import hashlib
import socket

import pyotp

# 160 bits, as RFC 4226 (section 4, R6) recommends, for every algorithm: the QR code stays small.
SECRET_CHARACTERS = 32


def new_uri(
    user: str,
    *,
    issuer: str = "",
    label: str = "",
    digits: int = 6,
    period: int = 30,
    algorithm: str = "SHA1",
) -> str:
    """The URI; what every app takes as default is left out of it. issuer, label: what the app
    shows, by default the host's name and user@host; period: seconds; algorithm: as in the URI."""
    host = socket.gethostname().partition(".")[0]
    totp = pyotp.TOTP(
        pyotp.random_base32(length=SECRET_CHARACTERS),
        digits=digits,
        digest=getattr(hashlib, algorithm.lower()),
        interval=period,
    )
    uri = totp.provisioning_uri(name=label or f"{user}@{host}", issuer_name=issuer or host)
    return str(uri)
