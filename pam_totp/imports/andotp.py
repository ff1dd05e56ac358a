# SPDX-License-Identifier: MIT
"""The export of andOTP as plain JSON. Pure."""

from typing import Any

from pam_totp.imports import json_text
from pam_totp.imports.found import Entry, Found


def read(content: bytes) -> list[Entry]:
    """The entries, in order. Raises Unusable."""
    backup = json_text.load(content)
    return json_text.entries(backup, "entries of andOTP", ("issuer", "label"), _found)


def _found(entry: dict[str, Any]) -> Found:
    secret = json_text.base32(json_text.text(entry, "secret"))
    kind, algorithm = json_text.text(entry, "type"), json_text.text(entry, "algorithm")
    return json_text.found(entry, secret, kind, algorithm)
