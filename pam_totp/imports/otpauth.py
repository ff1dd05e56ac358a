# SPDX-License-Identifier: MIT
"""A text of otpauth URIs, one a line; those of Google Authenticator's export, too. Pure."""

import io

from pam_totp.imports import google_export
from pam_totp.imports.found import (
    MAX_ENTRIES,
    Entry,
    Found,
    Unusable,
    entry_of,
    found_of,
    read_line,
)

MAX_LINE = 256 * 1024  # bytes; of an export, a character may be three (RFC 3986, section 2.1)


def read(content: bytes) -> list[Entry]:
    """The entries, in order. Raises Unusable."""
    entries: list[Entry] = []
    parts = google_export.Parts()
    for at, raw in enumerate(io.BytesIO(content), 1):  # not all at once: they may be millions
        line = raw.strip()
        uri = line[: MAX_LINE + 1].decode("utf-8", "replace").removeprefix("\ufeff").strip()
        try:
            if len(line) > MAX_LINE:
                fault = "the line is too long for a URI"
                entries.append(Entry(name=f"line {at}", found=None, fault=fault))
            elif uri.startswith(google_export.BEGIN):
                entries += parts.read(uri)
            elif uri and not uri.startswith("#"):
                entries.append(_entry(uri, at))
        except Unusable as refused:
            raise Unusable(f"line {at}: {refused.message}", refused.hint) from None
        if len(entries) > MAX_ENTRIES:
            raise Unusable(f"the file has more than {MAX_ENTRIES} entries")
    parts.refuse_missing()
    return entries


def _entry(uri: str, at: int) -> Entry:
    try:
        name = read_line(uri).account
    except Unusable as fault:
        return Entry(name=f"line {at}", found=None, fault=fault.message)
    return entry_of("", name or f"line {at}", _found, uri)


def _found(uri: str) -> Found:
    return found_of(read_line(uri))
