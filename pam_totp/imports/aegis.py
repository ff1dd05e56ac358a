# SPDX-License-Identifier: MIT
"""The export of Aegis as plain JSON (its docs/vault.md). Pure."""

from typing import Any

from pam_totp.imports import json_text
from pam_totp.imports.found import Entry, Found, Unusable

ENCRYPTED = "the export is encrypted"
HINT = "in Aegis: Settings, Import & Export, Export, and take the tick off Encrypt the vault"


def read(content: bytes) -> list[Entry]:
    """The entries, in order. Raises Unusable."""
    vault = json_text.load(content)
    database = vault.get("db") if isinstance(vault, dict) else None
    if isinstance(database, str):
        raise Unusable(ENCRYPTED, HINT)
    if not isinstance(database, dict):
        raise Unusable("the file is not an export of Aegis")
    return json_text.entries(database.get("entries"), "entries", ("issuer", "name"), _found)


def _found(entry: dict[str, Any]) -> Found:
    info = entry.get("info")
    if not isinstance(info, dict):
        raise Unusable("the entry has no info")
    secret = json_text.base32(json_text.text(info, "secret"))
    kind, algorithm = json_text.text(entry, "type"), json_text.text(info, "algo")
    return json_text.found(info, secret, kind, algorithm)
