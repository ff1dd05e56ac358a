# SPDX-License-Identifier: MIT
"""JSON that somebody else wrote, read with bounds. Pure.

- What it takes MUST be bounded before it is parsed: 16 MB of it can become objects of 400 MB.
"""

import json
from collections.abc import Callable
from typing import Any

from pam_totp.imports.found import MAX_ENTRIES, Entry, Found, Unusable, entry_of
from pam_totp.rules.credential import Malformed, decode_base32

PLAIN = "in the app, export again, without encryption"
FEWER = "in the app, export only the entries that are for this host"
# A thousand entries have icons of 4 KB each in that. As text it may take four times as much.
MAX_BYTES = 4 * 1024 * 1024
# Each value may become an object of two hundred bytes; an entry of these apps has twenty at most.
MAX_VALUES = 200_000
_BETWEEN_VALUES = (b"[", b"{", b":", b",")


def load(content: bytes) -> Any:
    """The value of the text. Raises Unusable."""
    if len(content) > MAX_BYTES:
        raise Unusable(f"the file is larger than {MAX_BYTES:,} bytes", FEWER)
    if sum(map(content.count, _BETWEEN_VALUES)) > MAX_VALUES:
        raise Unusable(f"the file holds more than {MAX_VALUES:,} values", FEWER)
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        message = "the file is not JSON, or is encrypted"
        raise Unusable(message, PLAIN) from None


def entries(
    value: object, where: str, names: tuple[str, str], make: Callable[[dict[str, Any]], Found]
) -> list[Entry]:
    """Those of a list of objects. names: the keys of the issuer and the account; make: finds the
    credential in an object, or raises Unusable. Raises Unusable."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Unusable(f"the file has no list of {where}")
    if len(value) > MAX_ENTRIES:
        raise Unusable(f"the file has more than {MAX_ENTRIES} {where}")
    issuer, account = names
    return [entry_of(each.get(issuer), each.get(account), make, each) for each in value]


def text(entry: dict[str, Any], key: str) -> str:
    """A text of an object; empty where there is none. Raises Unusable."""
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unusable(f"{key} must be a text")
    return value


def integer(entry: dict[str, Any], key: str, default: int) -> int:
    """A number of an object. Raises Unusable."""
    value = entry.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Unusable(f"{key} must be a number")
    return value


def found(entry: dict[str, Any], secret: bytes, kind: str, algorithm: str) -> Found:
    """The credential of an object with the keys that all these apps use. Raises Unusable."""
    return Found(
        secret=secret,
        kind=kind.lower(),
        algorithm=(algorithm or "SHA1").upper().replace("-", ""),
        digits=integer(entry, "digits", 6),
        period=integer(entry, "period", 30),
        counter=integer(entry, "counter", 0),
    )


def base32(value: str) -> bytes:
    """Raises Unusable."""
    try:
        return decode_base32(value)
    except Malformed as fault:
        raise Unusable(f"the entry {fault}") from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
