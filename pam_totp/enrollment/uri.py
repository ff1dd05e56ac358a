"""A fresh secret as an otpauth URI, made by pyotp."""

import hashlib
import socket
from collections.abc import Sequence
from pathlib import Path

import pyotp

from pam_totp.enrollment import qr

# 160 bits, as RFC 4226 (section 4, R6) recommends, for every algorithm: the QR code stays small.
SECRET_CHARACTERS = 32
HOSTS = Path("/etc/hosts")
MAX_VERSION = 6  # the largest QR code that fits 80x24 with the key below it


def new_uri(
    user: str,
    *,
    issuer: str = "",
    label: str = "",
    additions: Sequence[str] = ("",),
    digits: int = 6,
    period: int = 30,
    algorithm: str = "SHA1",
    max_version: int = MAX_VERSION,
) -> str:
    """The URI; what every app takes as default is left out of it. issuer, label: what the app
    shows, by default the host's name and user@host; additions: what may follow that label, to
    tell it from an entry made before, the best first; period: seconds; algorithm:
    as in the URI; max_version: of the QR code.

    Apps overwrite an entry of the same issuer and label, some of the same label. So the names are
    those of the whole host, as far as they fit.
    """
    whole = host_name()
    short = whole.partition(".")[0]
    totp = pyotp.TOTP(
        pyotp.random_base32(length=SECRET_CHARACTERS),
        digits=digits,
        digest=getattr(hashlib, algorithm.lower()),
        interval=period,
    )
    uri = ""
    for addition in additions:
        for issuing, labelled in ((whole, whole), (short, whole), (short, short)):
            account = label or f"{user}@{labelled} {addition}".rstrip()
            uri = str(totp.provisioning_uri(name=account, issuer_name=issuer or issuing))
            if qr.version_of(uri) <= max_version:
                return uri
    return uri


def host_name() -> str:
    """The host's name with its domain, if the host knows that without asking the network."""
    name = socket.gethostname()
    try:
        lines = HOSTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [each for line in lines for each in line.partition("#")[0].split()[1:]]
    whole = [each for each in names if "." not in name and each.startswith(f"{name}.")]
    return whole[0] if whole else name
