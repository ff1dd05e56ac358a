# SPDX-License-Identifier: MIT
"""What a file of another program holds for one user, and how a URI of ours says the same. Pure.

- What a login here could not keep as it is MUST be Unusable: nothing is rounded, cut or guessed.
- The message of an Unusable MUST NOT hold a secret or a code.
"""

from base64 import b32encode
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from pam_totp.rules.credential import Credential, Malformed, parse_line
from pam_totp.rules.record import Record

Given = TypeVar("Given")
TOTP, HOTP = "totp", "hotp"
MAX_COUNTER = (1 << 63) - 1
MAX_NUMBER_DIGITS = 20
MAX_ENTRIES, MAX_NAME = 1000, 100
# Other programs accept codes of so many time steps after now at most.
MAX_STEPS_AHEAD = 100


class Unusable(Exception):
    """Why a file, or what it holds for one user, cannot be imported; `hint`: what helps, if that
    is known: a command, a sentence, or an option with which the same command would do it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Found(Record):
    """A credential. secret: key bytes; kind: TOTP or HOTP; counter: the next one that a HOTP login
    expects; offset: time steps by which a token's clock is ahead; used_step: the last time step of
    which a code was used, -1 if there is none."""

    secret: bytes
    kind: str = TOTP
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30
    counter: int = 0
    offset: int = 0
    used_step: int = -1


class Import(Record):
    """What one user gets. codes: recovery codes, as they are hashed; options: each option of the
    file, and what becomes of it."""

    credentials: tuple[Found, ...]
    codes: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()


class Entry(Record):
    """One of several in the export of an app, or a token of a maker's list. name: as the app shows
    it, or the serial number; found: None if it cannot be imported, and then `fault` says why, and
    `hint` as of Unusable; place: where it is in the file, if that is told."""

    name: str
    found: Found | None
    fault: str = ""
    hint: str = ""
    place: str = ""


def number(text: str, what: str, least: int = 0, most: int = MAX_COUNTER) -> int:
    """A decimal number of a file. Raises Unusable."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS:
        value = int(text)
        if least <= value <= most:
            return value
    raise Unusable(f"{what} must be a number from {least} to {most}")


def kept_step(step: int, period: int, now: float) -> int:
    """A time step of which a code was used there, as it is kept here; -1 for one so far ahead that
    no program accepted a code of it: kept, it would refuse the user until then."""
    return step if 0 <= step <= now // period + MAX_STEPS_AHEAD else -1


def found_of(credential: Credential) -> Found:
    """The same of a line of ours, or of another otpauth URI."""
    return Found(
        secret=credential.secret,
        kind=TOTP if credential.counter is None else HOTP,
        algorithm=credential.algorithm,
        digits=credential.digits,
        period=credential.period,
        counter=credential.counter or 0,
        offset=credential.offset,
    )


def uri_of(found: Found, account: str, issuer: str) -> str:
    """The URI in the line of a secret file, without what is every app's default. Raises Unusable if
    a login could not keep the credential."""
    if found.kind not in (TOTP, HOTP):
        raise Unusable("the credential is of a type that no login here knows")
    if not 0 <= found.counter <= MAX_COUNTER:
        raise Unusable(f"the counter must be a number from 0 to {MAX_COUNTER}")
    parameters = {"secret": b32encode(found.secret).decode("ascii").rstrip("=")}
    if found.kind == HOTP:
        parameters["counter"] = str(found.counter)
    if found.algorithm != "SHA1":
        parameters["algorithm"] = quote(found.algorithm, safe="")
    if found.digits != 6:
        parameters["digits"] = str(found.digits)
    if found.kind == TOTP and found.period != 30:
        parameters["period"] = str(found.period)
    if found.kind == TOTP and found.offset:
        parameters["offset"] = str(found.offset)
    parameters["issuer"] = quote(issuer, safe="")
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    label = quote(f"{issuer}:{account}", safe=":@")
    uri = f"otpauth://{found.kind}/{label}?{query}"
    read_line(uri)
    return uri


def read_line(line: str) -> Credential:
    """The credential of a line, of either kind. Raises Unusable."""
    try:
        return parse_line(line)
    except Malformed as fault:
        raise Unusable(f"the credential {fault}") from None


def entry_of(issuer: object, account: object, make: Callable[[Given], Found], of: Given) -> Entry:
    """An entry of an export by what the app shows, as far as that is text; `make`: finds the
    credential in `of`, or raises Unusable."""
    parts = [each for each in (issuer, account) if isinstance(each, str) and each]
    name = ":".join(parts)[:MAX_NAME]
    name = "".join(each if each.isprintable() else "?" for each in name)
    try:
        found = make(of)
        uri_of(found, "user", "host")
    except Unusable as fault:
        return Entry(name=name, found=None, fault=fault.message)
    return Entry(name=name, found=found)
