# SPDX-License-Identifier: MIT
"""What the QR codes of Google Authenticator's export hold: otpauth-migration://offline?data=…, the
base64 of a message in protocol buffers. Pure.

Of that format three kinds of fields are read (protobuf.dev, "Encoding"): numbers, and bytes that
are a text, a secret or a message. Any other kind is an error.
"""

from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import unquote

from pam_totp.imports.found import HOTP, TOTP, Entry, Found, Unusable, entry_of

BEGIN = "otpauth-migration://"
MAX_BYTES = 64 * 1024  # a QR code holds less than 3 KB
_NUMBER, _BYTES = 0, 2
# Fields of the message, and of an entry in it.
_ENTRY, _PARTS, _PART = 1, 3, 4
_SECRET, _NAME, _ISSUER, _ALGORITHM, _DIGITS, _TYPE, _COUNTER = range(1, 8)
_ALGORITHMS = {0: "SHA1", 1: "SHA1", 2: "SHA256", 3: "SHA512"}
_LENGTHS, _TYPES = {0: 6, 1: 6, 2: 8}, {1: HOTP, 2: TOTP}


class Parts:
    """The parts of one export, each the text of a QR code, in any order."""

    __slots__ = ("_missing", "_seen")

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._missing: set[int] = set()

    def read(self, uri: str) -> list[Entry]:
        """The entries of one part. Raises Unusable."""
        fields = list(_fields(_data(uri)))
        count, part = (_last(fields, key) for key in (_PARTS, _PART))
        if not (0 <= part < max(count, 1) <= 1000):
            raise Unusable("the export has a part of an unknown number")
        if part in self._seen:
            raise Unusable(f"part {part + 1} of the export is there twice")
        self._seen.add(part)
        self._missing = set(range(count)) - self._seen
        return [
            _entry(value) for key, value in fields if key == _ENTRY and isinstance(value, bytes)
        ]

    def refuse_missing(self) -> None:
        """Raises Unusable where the text of a QR code is not there."""
        if self._missing:
            hint = "put the text of each QR code on a line of its own"
            raise Unusable(f"part {min(self._missing) + 1} of the export is missing", hint)


def _data(uri: str) -> bytes:
    _, _, data = uri.partition("data=")
    text = unquote(data.partition("&")[0]).replace(" ", "+")
    try:
        message = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        message = b""
    if not 0 < len(message) <= MAX_BYTES:
        raise Unusable("the text after data= is not base64, or not all of it is there")
    return message


def _entry(message: bytes) -> Entry:
    fields = dict(_fields(message))
    name, issuer = (_text(fields.get(key)) for key in (_NAME, _ISSUER))
    return entry_of(issuer, name, _found, fields)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _found(fields: dict[int, int | bytes]) -> Found:
    secret, counter = fields.get(_SECRET), fields.get(_COUNTER, 0)
    if not isinstance(secret, bytes) or not isinstance(counter, int):
        raise Unusable("the entry has no secret")
    try:
        return Found(
            secret=secret,
            kind=_TYPES[fields.get(_TYPE, 0)],  # type: ignore[index]
            algorithm=_ALGORITHMS[fields.get(_ALGORITHM, 0)],  # type: ignore[index]
            digits=_LENGTHS[fields.get(_DIGITS, 0)],  # type: ignore[index]
            counter=counter,
        )
    except KeyError:
        raise Unusable("the entry is of a type that no login here knows") from None


def _last(fields: list[tuple[int, int | bytes]], wanted: int) -> int:
    return next((v for key, v in reversed(fields) if key == wanted and isinstance(v, int)), 0)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field of a message: its number, and a number or bytes. Raises Unusable."""
    at = 0
    while at < len(message):
        head, at = _varint(message, at)
        value, at = _varint(message, at)
        if head & 7 == _NUMBER:
            yield head >> 3, value
        elif head & 7 == _BYTES and value <= len(message) - at:
            yield head >> 3, message[at : at + value]
            at += value
        else:
            raise Unusable("the text after data= is damaged")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of up to ten bytes, seven bits each, the lowest first; and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
    raise Unusable("the text after data= is damaged")
