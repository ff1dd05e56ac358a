# SPDX-License-Identifier: MIT
"""The export of FreeOTP+ as JSON. Pure. A secret is a list of bytes, each from -128 to 127."""

from typing import Any

from pam_totp.imports import json_text
from pam_totp.imports.found import Entry, Found, Unusable
from pam_totp.rules.credential import MAX_SECRET_BYTES


def read(content: bytes) -> list[Entry]:
    """The entries, in order. Raises Unusable."""
    backup = json_text.load(content)
    tokens = backup.get("tokens") if isinstance(backup, dict) else None
    return json_text.entries(tokens, "tokens of FreeOTP+", ("issuerExt", "label"), _found)


def _found(token: dict[str, Any]) -> Found:
    kind, algorithm = json_text.text(token, "type"), json_text.text(token, "algo")
    return json_text.found(token, _secret(token.get("secret")), kind, algorithm)


def _secret(values: object) -> bytes:
    if not isinstance(values, list) or len(values) > MAX_SECRET_BYTES:
        raise Unusable("the secret must be a list of bytes")
    if not all(type(each) is int and -128 <= each <= 255 for each in values):
        raise Unusable("the secret must be a list of bytes")
    return bytes(each % 256 for each in values)
