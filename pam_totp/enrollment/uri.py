# SPDX-License-Identifier: MIT
"""A fresh secret as an otpauth URI, made by pyotp."""

import hashlib
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

HOSTS = Path("/etc/hosts")


def new_uri(
    user: str, chosen: dict[str, str], fits: Callable[[str], bool], label: str = "", more: str = ""
) -> str:
    """The URI; what every app takes as default is left out of it. chosen: issuer and code.*, as in
    the settings, and the secret (base32) where it was made elsewhere; fits: whether the QR code of
    a URI may be as large. Without an issuer and a label the app shows the host's name and
    user@host; more: what follows that, to tell it from an entry made before.

    Apps overwrite an entry of the same issuer and label, some of the same label. So the names are
    those of the whole host, as far as they fit.
    """
    import pyotp  # here, as qr.py imports qrcode

    totp = pyotp.TOTP(
        # 160 bits, as RFC 4226 (section 4, R6) recommends
        chosen.get("secret") or pyotp.random_base32(),
        digits=int(chosen["code.digits"]),
        digest=getattr(hashlib, chosen["code.algorithm"].lower()),
        interval=int(chosen["code.period"]),
    )
    whole = host_name()
    short = whole.partition(".")[0]
    for issuer, host in ((whole, whole), (short, whole), (short, short)):
        account = label or f"{user}@{host} {more}".rstrip()
        uri = totp.provisioning_uri(account, chosen["issuer"] or issuer)
        if fits(uri):
            break
    return uri


def key_of(uri: str) -> str:
    """The secret in groups of four, for those who type it in."""
    return " ".join(re.findall(".{1,4}", re.split("[?&]secret=", uri)[1].partition("&")[0]))


def host_name() -> str:
    """The host's name with its domain, if the host knows that without asking the network."""
    name = socket.gethostname()
    hosts = HOSTS.read_text("utf-8", "replace") if os.access(HOSTS, os.R_OK) else ""
    found = re.search(rf"^[^#\n]*\s({re.escape(name)}\.[^\s#]+)", hosts, re.MULTILINE)
    return found[1] if found and "." not in name else name
