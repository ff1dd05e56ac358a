# SPDX-License-Identifier: MIT
"""Secrets of one host on their way to the store: what is taken of a user, and the file that
`pam-totp migrate --write` makes of it and `--from` reads. Pure.

The file is one JSON object: `format` (FORMAT), `host`, and `users`, a list of objects: `user`, and
`devices`, a list of objects: `device`, `secret` (base32), `algorithm`, `digits`, `period`, `offset`
(time steps), `last_step` (the last one of which a code was accepted, or -1).

- What the store cannot keep as it is MUST be refused, and named.
"""

import json
from base64 import b32encode
from collections.abc import Sequence
from typing import Any

from pam_totp.rules.credential import Credential, Malformed, parse_file, parse_line

FORMAT = "pam-totp secrets 1"
DEVICE = "phone"  # of a line without a name
MAX_STEP = 1 << 40
_OF_CODES = ("algorithm", "digits", "period", "offset")


class Refused(ValueError):
    """Why secrets cannot be taken; never contains one."""


def devices_in(content: bytes, steps: dict[str, int]) -> list[dict[str, Any]]:
    """The devices of a secret file, as in the file of many. steps: the last accepted time step of
    each identity. Raises Refused unless all of them can be kept."""
    credentials, faults = parse_file(content)
    if faults:
        raise Refused(f"the secret file: {faults[0]}")
    for each in credentials:
        if each.counter is not None:
            named = f"the token {each.device!r}" if each.device else "a token"
            raise Refused(f"{named} counts (HOTP), and the store keeps no counters")
    return [_as_object(each, steps.get(each.identity, -1)) for each in credentials]


def _as_object(credential: Credential, last_step: int) -> dict[str, Any]:
    secret = b32encode(credential.secret).decode("ascii").rstrip("=")
    found = {"device": credential.device or DEVICE, "secret": secret}
    return (
        found | {name: getattr(credential, name) for name in _OF_CODES} | {"last_step": last_step}
    )


def content_of(host: str, users: Sequence[dict[str, Any]]) -> bytes:
    """The file."""
    whole = {"format": FORMAT, "host": host, "users": users}
    return f"{json.dumps(whole, indent=1)}\n".encode()


def users_in(content: bytes) -> list[dict[str, Any]]:
    """The users of a file, in its order. Raises Refused if it is none, or faulty in any part."""
    try:
        whole = json.loads(content)
        if whole["format"] != FORMAT:
            raise Refused(f"the format is not {FORMAT!r}")
        users = [{"user": str(each["user"]), "devices": each["devices"]} for each in whole["users"]]
        for each in users:
            for device in each["devices"]:
                credential_of(device)
    except Refused:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Refused("it is not a file of `pam-totp migrate --write`") from None
    names = [each["user"] for each in users]
    twice = next((name for name in names if names.count(name) > 1), None) if names else None
    if twice is not None:
        raise Refused(f"it has {twice!a} more than once")
    return users


def credential_of(device: dict[str, Any]) -> tuple[Credential, int]:
    """A device of the file, and its last step. Raises Refused, TypeError or KeyError."""
    numbers = [device[name] for name in ("digits", "period", "offset", "last_step")]
    texts = [device[name] for name in ("secret", "algorithm", "device")]
    if any(type(each) is not int for each in numbers) or any(type(t) is not str for t in texts):
        raise TypeError
    digits, period, offset, last_step = numbers
    secret, algorithm, name = texts
    plain = secret.isalnum() and algorithm.isalnum() and name.isprintable() and len(name) <= 64
    if not plain or not -1 <= last_step <= MAX_STEP:
        raise Refused("a device in it is malformed")
    uri = f"otpauth://totp/x?secret={secret}&algorithm={algorithm}&digits={digits}"
    try:
        credential = parse_line(f"{uri}&period={period}&offset={offset}")
    except Malformed as fault:
        raise Refused(f"a device in it {fault}") from None
    return Credential(**vars(credential) | {"device": name}), last_step
