# SPDX-License-Identifier: MIT
"""Text in the encodings that spreadsheets and the makers of tokens use. Pure."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def text_of(content: bytes, errors: str = "strict") -> str:
    """UTF-8, or UTF-16 with its byte order mark; errors: as of bytes.decode. Raises
    UnicodeDecodeError."""
    return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig", errors)
