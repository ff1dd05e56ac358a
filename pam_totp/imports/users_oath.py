# SPDX-License-Identifier: MIT
"""pam_oath's file of users, as liboath reads it. Pure.

A line is TYPE USER PASSWORD SECRET, and once a code was used also COUNTER CODE TIME. The secret is
in hex, the time local. With HOTP the counter is that of the code; with TOTP it says how many time
steps from TIME the code was.
"""

import io
import re
import time
from collections.abc import Iterator

from pam_totp.imports.found import HOTP, Found, Import, Unusable, kept_step, number
from pam_totp.rules.credential import MAX_CREDENTIALS
from pam_totp.rules.otp import hotp
from pam_totp.rules.typed_code import DIGITS

MAX_BYTES = 16 * 1024 * 1024
MAX_FAULTS = 100
MAX_SECRET_BYTES = 32  # as much as liboath reads
MAX_USERS, MAX_FIELDS = 100_000, 7
# Where the last code of a line may be, beside the place that the line tells: counters after it, and
# time steps around it. An hour off, as a local time may be there twice a year.
LOOKED_AHEAD, NEAR_STEPS, HOUR_SECONDS = 20, (0, -1, 1, -2, 2), 3600

# Digits of a code, and the seconds of a time step; 0: codes by counter.
_TYPES = {"HOTP": (6, 0), "HOTP/E": (6, 0), "HOTP/T30": (6, 30), "HOTP/T60": (6, 60)} | {
    f"HOTP/{kind}/{digits}": (digits, period)
    for kind, period in (("E", 0), ("T30", 30), ("T60", 60))
    for digits in DIGITS
}
_TIME = "%Y-%m-%dT%H:%M:%SL"
_BETWEEN = re.compile("[ \t\r]+")


class Users:
    """What the file holds: `imports` by name, `faults` by name ("line N" where a line has none)."""

    __slots__ = ("faults", "imports")

    def __init__(self) -> None:
        self.imports: dict[str, Import] = {}
        self.faults: dict[str, str] = {}


def read(content: bytes, now: float) -> Users:
    """All users of the file; `now`: Unix seconds. A user of whom one line cannot be kept is a
    fault as a whole. Raises Unusable where the file is none of this kind."""
    users = Users()
    for number_of_line, fields in _lines(content):
        name = fields[1] if len(fields) > 1 else f"line {number_of_line}"
        try:
            _add(users, name, *_read(fields, now))
        except Unusable as fault:
            users.faults.setdefault(name, f"line {number_of_line}: {fault.message}")
            if len(users.faults) > MAX_FAULTS:
                message = f"more than {MAX_FAULTS} lines cannot be read, the first of them: "
                raise Unusable(message + next(iter(users.faults.values()))) from None
    for name in users.faults:
        users.imports.pop(name, None)
    if not users.imports and not users.faults:
        raise Unusable("the file names no user")
    return users


def names(content: bytes) -> set[str]:
    """The users that the file names, whether or not their lines can be kept."""
    return {fields[1] for _, fields in _lines(content) if len(fields) > 1}


def _lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line, at most one more than there may be: neither millions of lines nor
    millions of fields become as many objects."""
    for number_of_line, line in enumerate(io.BytesIO(content), 1):
        text = line.decode("utf-8", "surrogateescape").strip(" \t\r\n")
        if text and not text.startswith("#"):
            yield number_of_line, _BETWEEN.split(text, MAX_FIELDS)


def _add(users: Users, name: str, found: Found, options: list[tuple[str, str]]) -> None:
    if len(users.imports) >= MAX_USERS:
        raise Unusable(f"the file has more than {MAX_USERS} users")
    before = users.imports.get(name, Import(credentials=()))
    if len(before.credentials) >= MAX_CREDENTIALS:
        raise Unusable(f"the user has more than {MAX_CREDENTIALS} lines")
    users.imports[name] = Import(
        credentials=(*before.credentials, found), options=(*before.options, *options)
    )


def _read(fields: list[str], now: float) -> tuple[Found, list[tuple[str, str]]]:
    """The credential of one line, and what becomes of its columns. Raises Unusable."""
    if fields[0] not in _TYPES:
        raise Unusable("pam_oath knows no such type")
    if not all(field.isprintable() for field in fields):
        raise Unusable("the line holds bytes that are not text")
    if len(fields) not in (4, MAX_FIELDS):
        raise Unusable("a line has 4 columns, or 7 once a code was used")
    digits, period = _TYPES[fields[0]]
    secret = _secret(fields[3])
    options = [("type", f"kept: {fields[0]}"), ("secret", f"kept: {len(secret) * 8} bits")]
    if fields[2] not in ("-", "+"):
        options.append(("password", "not kept: the system's own password is asked for"))
    counter, code, moment = fields[4:] or ("0", "", "")
    if period:
        found = Found(secret=secret, digits=digits, period=period)
        if not code:
            return found, options
        step = kept_step(_used_step(found, counter, code, moment), period, now)
        options.append(("last code", "kept: it is refused here, too"))
        return Found(**vars(found) | {"used_step": step}), options
    following = _next_counter(secret, digits, number(counter, "the counter"), code)
    options.append(("counter", f"kept: the next code is number {following}"))
    return Found(secret=secret, kind=HOTP, digits=digits, counter=following), options


def _secret(text: str) -> bytes:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if not 0 < len(secret) <= MAX_SECRET_BYTES:
        raise Unusable(f"the secret must be 1 to {MAX_SECRET_BYTES} bytes in hex")
    return secret


def _next_counter(secret: bytes, digits: int, counter: int, code: str) -> int:
    """The one after the last code, which is that of `counter` wherever pam_oath wrote the line."""
    ahead = range(counter, counter + LOOKED_AHEAD) if code else ()
    used = (each for each in ahead if hotp(secret, each, digits, "SHA1") == code)
    return next(used, counter - 1) + 1


def _used_step(found: Found, position: str, code: str, moment: str) -> int:
    """The time step of the last code: the one that the line tells, or one near it that has this
    code. Raises Unusable."""
    try:
        told = int(time.mktime((*time.strptime(moment, _TIME)[:8], -1)))
    except (ValueError, OverflowError):
        raise Unusable("the time of the last code must be like 2027-03-01T12:00:00L") from None
    steps = number(position.removeprefix("-"), "the position of the last code", 0, 1 << 31)
    step = told // found.period + (-steps if position.startswith("-") else steps)
    hour = HOUR_SECONDS // found.period
    near = (step + shift + each for shift in (0, hour, -hour) for each in NEAR_STEPS)
    used = (
        each
        for each in near
        if each >= 0 and hotp(found.secret, each, found.digits, "SHA1") == code
    )
    return next(used, step)
