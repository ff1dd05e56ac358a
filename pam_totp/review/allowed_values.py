# SPDX-License-Identifier: MIT
"""What the value of a setting must be, for people: in faults, the example and the manual.

What each kind takes is decided by pam_totp.records.config.values.
"""

from collections.abc import Sequence

from pam_totp.records.config.table import SETTINGS
from pam_totp.records.config.values import MAX_MESSAGE_BYTES

OF_KINDS = {
    "choice": "{one_of}",
    "mode": "{one_of}, or {{by: 2027-03-01}}",
    "kind of key": "yes, no or sk",
    "number": "a number from {0} to {1}",
    "duration": "off, or a time like 10m or 2h, at most {0}h",
    "date": "a date like 2027-03-01",
    "label": "at most 64 printable characters without a colon",
    "message": f"one printable line of at most {MAX_MESSAGE_BYTES} bytes",
    "services": "the name of a PAM service, or a list of names",
    "names": "a name or a pattern",
    "service names": "a name or a pattern",
    "methods": "{one_of}, or a list of them with totp",
    "program": "{one_of}, or the absolute path of a program",
    "networks": "an address, a network like 192.0.2.0/24 or 2001:db8::/32, or local",
}


def allowed_values(key: str) -> str:
    """What a value of this setting must be."""
    _default, kind, *allowed = SETTINGS[key]
    return must_be(kind, allowed)


def must_be(kind: str, allowed: Sequence[str]) -> str:
    """What a value of this kind must be."""
    one_of = " or ".join(filter(None, [", ".join(allowed[:-1]), *allowed[-1:]]))
    return OF_KINDS[kind].format(*allowed, one_of=one_of)
