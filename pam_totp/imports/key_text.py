# SPDX-License-Identifier: MIT
"""The key of a hardware token as its maker writes it: hex or base32, in groups or not. Pure."""

import re
from contextlib import suppress

from pam_totp.rules.credential import Malformed, decode_base32

HEX, BASE32 = "hex", "base32"
PREFIX_HINT = "put hex: or base32: in front of the key"


def is_like_a_key(text: str, least_bytes: int) -> bool:
    """Whether it may be a key of so many bytes: then it is not shown, whatever it should be."""
    return any(len(value) >= least_bytes for value in readings(text).values())


def readings(text: str) -> dict[str, bytes]:
    """The bytes of a key by how it can be read, HEX or BASE32 or both; empty if it is no key. With
    `hex:` or `base32:` in front it is read in this way alone."""
    word, _, rest = text.partition(":")
    told = word.strip().lower()
    is_told = told in (HEX, BASE32)
    key = re.sub(r"[\s:.-]", "", rest if is_told else text)
    found = {}
    if re.fullmatch("(0[xX])?([0-9A-Fa-f]{2})+", key):
        found[HEX] = bytes.fromhex(key[2 * key.lower().startswith("0x") :])
    with suppress(Malformed):
        found[BASE32] = decode_base32(key)
    return {way: value for way, value in found.items() if way == told or not is_told}
