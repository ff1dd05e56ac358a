# SPDX-License-Identifier: MIT
"""PSKC (RFC 6030), the files in which makers hand over the keys of hardware tokens, as python3-pskc
reads them. Pure. What it would pass over was looked at before (pam_totp.imports.pskc_shape).

- The time that a password takes MUST be bounded: the file says how often it is hashed.
- What limits the use of a key, and no login here would hold, MUST keep the token out.
"""

import re
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING

from pam_totp.imports.found import HOTP, MAX_COUNTER, TOTP, Entry, Found, Unusable, uri_of
from pam_totp.imports.pskc_shape import Shape, look
from pam_totp.imports.seeds import BAD_SERIAL, SERIAL, each_once

if TYPE_CHECKING:
    import pskc
    import pskc.key

KEY, PASSWORD = "key", "password"
KEY_BYTES = (16, 24, 32)  # of AES
MAX_ITERATIONS = 2_000_000  # some seconds
IGNORE_EXPIRY = "--ignore-expiry"
_SIZES = "(128|192|256)"
_ENCRYPTIONS = re.compile(rf"http://www\.w3\.org/2001/04/xmlenc#(aes{_SIZES}-cbc|kw-aes{_SIZES})")
_HMAC = re.compile(".*#hmac-sha(1|224|256|384|512)")
_KINDS = {f"urn:ietf:params:xml:ns:keyprov:pskc:{kind}": kind for kind in (HOTP, TOTP)}
_UNREADABLE = "python3-pskc cannot read the file"
_WRONG = "is wrong, or the file was changed"
# What its code raises for files that it was not made for.
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Container:
    """A file that was read, and not decrypted. needs: KEY, PASSWORD, or empty where its keys are
    not encrypted. Raises Unusable."""

    def __init__(self, content: bytes) -> None:
        from pskc import PSKC
        from pskc.exceptions import PSKCError

        content, self._shape = look(content)
        self._errors = (PSKCError, *_FAULTS)
        try:
            self._file: pskc.PSKC = PSKC(BytesIO(content))
        except self._errors:
            raise Unusable(_UNREADABLE) from None
        self.needs = ""
        if self._shape.is_encrypted:
            self.needs = PASSWORD if self._file.encryption.derivation.algorithm else KEY
            _refuse_algorithms(self._file, self._shape)

    def decrypt(self, secret: bytes) -> None:
        """With the key or password that it needs; whether that is right turns out in `tokens`.
        Raises Unusable."""
        try:
            if self.needs == PASSWORD:
                self._file.encryption.derive_key(secret)
            else:
                self._file.encryption.key = secret
        except self._errors:
            raise Unusable(_UNREADABLE) from None

    def tokens(self, now: float, *, is_expiry_ignored: bool) -> tuple[list[Entry], list[str]]:
        """The tokens, and what else is not kept; `now`: Unix seconds. Raises Unusable."""
        keys = self._file.keys
        try:
            for key in keys:
                key.check()
        except self._errors:
            if not self.needs:
                raise Unusable(_UNREADABLE) from None
            hint = f"use the {self.needs} that came with this file"
            raise Unusable(f"the {self.needs} {_WRONG}", hint) from None
        moment = datetime.fromtimestamp(now, UTC)
        entries = [
            self._entry(f"key {at}", key, moment, is_expiry_ignored=is_expiry_ignored)
            for at, key in enumerate(keys, 1)
        ]
        if not entries:
            raise Unusable("the file has no key")
        return each_once(entries), ["the signature, which is not checked"] * self._shape.is_signed

    def _entry(
        self, place: str, key: "pskc.key.Key", now: datetime, *, is_expiry_ignored: bool
    ) -> Entry:
        serial = key.serial or key.id or ""
        name = serial if SERIAL.fullmatch(serial) else place
        try:
            if name == place:
                raise Unusable(BAD_SERIAL)
            found = _found(key)
            _refuse_limits(key, now, is_expiry_ignored=is_expiry_ignored)
            uri_of(found, "user", "host")
        except Unusable as fault:
            return Entry(name=name, found=None, fault=fault.message, hint=fault.hint, place=place)
        return Entry(name=name, found=found, place=place)


def _refuse_algorithms(file: "pskc.PSKC", shape: Shape) -> None:
    """Of the encryption: only what is sound today, and takes a bounded time. Raises Unusable."""
    for algorithm in shape.algorithms:
        if not _ENCRYPTIONS.fullmatch(algorithm):
            raise Unusable("the file is not encrypted with AES (aes-cbc or kw-aes)")
    derivation = file.encryption.derivation
    hashes = [each for each in (file.mac.algorithm, derivation.pbkdf2_prf) if each]
    if not all(_HMAC.fullmatch(each) for each in hashes):
        raise Unusable("the MAC or the hash of the password is not HMAC with SHA-1 or SHA-2")
    if derivation.algorithm is None:
        return
    if not derivation.algorithm.endswith("#pbkdf2"):
        raise Unusable("the password is hashed with something else than PBKDF2")
    if not 1 <= (derivation.pbkdf2_iterations or 0) <= MAX_ITERATIONS:
        raise Unusable(f"PBKDF2 must have 1 to {MAX_ITERATIONS} iterations")
    if derivation.pbkdf2_key_length not in KEY_BYTES:
        raise Unusable("PBKDF2 must make a key of 16, 24 or 32 bytes")


def _found(key: "pskc.key.Key") -> Found:
    """Raises Unusable."""
    kind = _KINDS.get(key.algorithm or "", "")
    if not kind:
        raise Unusable("its key is neither for TOTP nor for HOTP")
    if not key.secret:
        raise Unusable("the file does not have its key")
    digits = 6 if key.response_length is None else key.response_length
    challenges = (key.challenge_encoding, key.challenge_min_length, key.challenge_max_length)
    if any(challenges) or key.response_check or key.response_encoding not in (None, "DECIMAL"):
        raise Unusable("it answers challenges, or its codes are not plain digits")
    numbers = {
        name: _number(key, name)
        for name in ("counter", "time_offset", "time_interval", "time_drift")
    }
    others = ("time_offset", "time_interval", "time_drift") if kind == HOTP else ("counter",)
    if any(numbers[name] for name in others):
        both = "HOTP, and has a time" if kind == HOTP else "TOTP, and has a counter"
        raise Unusable(f"it is of type {both}")
    if numbers["time_offset"]:
        raise Unusable("its time does not begin in 1970 (Time)")
    return Found(
        secret=bytes(key.secret),
        kind=kind,
        algorithm=_algorithm(key.algorithm_suite or "SHA1"),
        digits=digits,
        period=30 if numbers["time_interval"] is None else numbers["time_interval"],
        counter=numbers["counter"] or 0,
        offset=numbers["time_drift"] or 0,
    )


def _algorithm(suite: str) -> str:
    """As in `HMAC-SHA256`; what is none is refused with the URI."""
    return re.sub("[-_ ]", "", suite.upper()).removeprefix("HMAC")


def _number(key: "pskc.key.Key", name: str) -> int | None:
    """A number of a key. Raises Unusable where it is encrypted and ambiguous: python3-pskc takes
    bytes that are digits for a text, and writes 53 as the byte that is the digit 5."""
    from pskc.key import EncryptedValue

    stored = getattr(key, f"_{name}", None)
    is_encrypted = isinstance(stored, EncryptedValue)
    if is_encrypted and EncryptedValue.get_value(stored, key.device.pskc).isdigit():
        raise Unusable(f"its {name} may be a text or a number")
    value: int | None = getattr(key, name)
    if value is not None and abs(value) > MAX_COUNTER:
        raise Unusable(f"its {name} is too large")
    return value


def _refuse_limits(key: "pskc.key.Key", now: datetime, *, is_expiry_ignored: bool) -> None:
    """Raises Unusable for a key that may not be used as a login would use it."""
    policy = key.policy
    if policy.unknown_policy_elements or policy.number_of_transactions is not None:
        raise Unusable("its policy has limits that no login here holds")
    if policy.key_usage and "OTP" not in policy.key_usage:
        raise Unusable("its key is not for codes (KeyUsage)")
    pin = (policy.pin_key_id, policy.pin_max_failed_attempts, policy.pin_min_length)
    has_pin = any((*pin, policy.pin_usage, policy.pin_max_length, policy.pin_encoding))
    if has_pin and policy.pin_usage != "Local":
        raise Unusable("its PIN is to be typed with the code")
    starts = [_aware(each) for each in (policy.start_date, key.start_date) if each]
    ends = [_aware(each) for each in (policy.expiry_date, key.expiry_date) if each]
    if any(each > now for each in starts):
        raise Unusable(f"it is not valid before {max(starts):%Y-%m-%d}")
    if any(each < now for each in ends):
        raise Unusable(f"it was valid until {min(ends):%Y-%m-%d}")
    if ends and not is_expiry_ignored:
        message = f"it expires on {min(ends):%Y-%m-%d}, and no login here would end then"
        raise Unusable(message, IGNORE_EXPIRY)


def _aware(moment: datetime) -> datetime:
    """RFC 6030 wants UTC where no zone is told."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
