# SPDX-License-Identifier: MIT
"""A maker's list of tokens as CSV: a serial number and a key for each, and maybe more. Pure.

The names of columns are those that makers use, and other programs that import such lists. Without a
header the columns are the serial number, the key, the type, digits and period. What the list does
not say is `chosen`.

- No message may hold a key, and a field that was taken for another column may be one: no field is
  quoted but a serial number that is none.
"""

import re

from pam_totp.imports import key_text, table
from pam_totp.imports.found import HOTP, MAX_COUNTER, TOTP, Entry, Found, Unusable, number, uri_of
from pam_totp.rules.credential import MAX_PERIOD_SECONDS, MIN_SECRET_BYTES

MAX_TOKENS, MAX_FAULTS = 10_000, 100
# As much as a device's name has room for, and nothing that means anything in a URI.
SERIAL = re.compile("[0-9A-Za-z][0-9A-Za-z ._:/+-]{0,55}")
BAD_SERIAL = "the serial number must be 1 to 56 letters, digits, spaces and ._:/+-"
SERIALS = (
    "serial",
    "serialnumber",
    "serialno",
    "sn",
    "tokenserial",
    "tokenserialnumber",
    "tokenid",
)
_KEYS = (
    *("secret", "seed", "key", "secretkey", "seedkey", "sharedsecret", "otpkey", "otpsecret"),
    *("tokenkey", "tokenseed", "tokensecret"),
)
_WAYS = (key_text.HEX, key_text.BASE32)
_NAMES = {
    "serial number": SERIALS,
    "key": (*_KEYS, *(each for key in _KEYS for way in _WAYS for each in (key + way, way + key))),
    "type": ("type", "tokentype", "otptype", "otpmode", "mode"),
    "digits": ("digits", "otpdigits", "otplength", "otplen", "length", "codelength"),
    "period": ("period", "interval", "timeinterval", "timestep", "step"),
    "counter": ("counter", "eventcounter", "movingfactor"),
    "algorithm": ("algorithm", "algo", "hash", "hashalgorithm"),
}
COLUMNS = {name: column for column, names in _NAMES.items() for name in names}
_ORDER = ("serial number", "key", "type", "digits", "period")
_KINDS = {
    **dict.fromkeys(("totp", "oathtotp", "time", "timebased"), TOTP),
    **dict.fromkeys(("hotp", "oathhotp", "event", "eventbased", "hmac"), HOTP),
}


def read(content: bytes, chosen: dict[str, str | int | None]) -> tuple[list[Entry], list[str]]:
    """The tokens, and what is not kept. chosen: type, digits, period and
    algorithm, None where only the list may say it. Raises Unusable."""
    found = table.read(content, COLUMNS, _ORDER)
    if len(found.rows) > MAX_TOKENS:
        raise Unusable(f"the file has more than {MAX_TOKENS} tokens")
    keys = [key_text.readings(row.fields.get("key", "")) for row in found.rows]
    # A list has all its keys in one encoding: those that can be read in one way tell which it is.
    told = {way for key in keys if len(key) == 1 for way in key}
    entries = [_entry(row, key, told, chosen) for row, key in zip(found.rows, keys, strict=True)]
    faulty = [entry for entry in entries if entry.fault]
    if len(faulty) > MAX_FAULTS:
        first = faulty[0]
        what = f"more than {MAX_FAULTS} lines cannot be read"
        raise Unusable(f"{what}; {first.place}: {first.fault}", first.hint)
    if not entries:
        raise Unusable("the file has no token")
    return each_once(entries), [f"the column {title!r}" for title in found.ignored]


def called(entry: Entry) -> str:
    """A token in a sentence: its serial number, and where the file has it."""
    return entry.place if entry.name == entry.place else f"{entry.name} ({entry.place})"


def each_once(entries: list[Entry]) -> list[Entry]:
    """The entries, of which those that share a serial number or a key cannot be imported."""
    names = dict[str, list[str]]()
    secrets = dict[bytes, list[str]]()
    for entry in entries:
        if entry.found is not None:
            names.setdefault(entry.name, []).append(entry.place)
            secrets.setdefault(entry.found.secret, []).append(entry.place)

    def checked(entry: Entry) -> Entry:
        if entry.found is None:
            return entry
        shared = {"serial number": names[entry.name], "key": secrets[entry.found.secret]}
        for what, places in shared.items():
            other = next((each for each in places if each != entry.place), "")
            if other:
                fault = f"the {what} is also that of {other}"
                return Entry(name=entry.name, found=None, fault=fault, place=entry.place)
        return entry

    return [checked(entry) for entry in entries]


def _entry(
    row: table.Row, key: dict[str, bytes], told: set[str], chosen: dict[str, str | int | None]
) -> Entry:
    place = f"line {row.line}"
    serial = row.fields.get("serial number", "")
    name = serial if SERIAL.fullmatch(serial) else place
    try:
        if row.fault:
            raise Unusable(row.fault)
        if name == place:
            raise Unusable(BAD_SERIAL)
        found = _found(row.fields, _key(key, told), chosen)
        uri_of(found, "user", "host")
    except Unusable as fault:
        # Of columns that were exchanged, this is the key.
        name = place if key_text.is_like_a_key(name, MIN_SECRET_BYTES) else name
        return Entry(name=name, found=None, fault=fault.message, hint=fault.hint, place=place)
    return Entry(name=name, found=found, place=place)


def _key(readings: dict[str, bytes], told: set[str]) -> bytes:
    if not readings:
        raise Unusable("the key is neither hex nor base32")
    likely = [value for way, value in readings.items() if len(readings) == 1 or told == {way}]
    if not likely:
        raise Unusable("the key may be hex or base32", key_text.PREFIX_HINT)
    return likely[0]


def _found(fields: dict[str, str], key: bytes, chosen: dict[str, str | int | None]) -> Found:
    values = {name: str(value) for name, value in chosen.items() if value is not None}
    # A file may have a column for each kind of token, with 0 where it means nothing.
    given = {name: text for name, text in fields.items() if text}
    beside = [name for name in ("counter", "period") if given.get(name, "0").strip("0")]
    kind = _kind(given.get("type", ""), beside, values.get("type", ""))
    wrong = "period" if kind == HOTP else "counter"
    if wrong in beside:
        raise Unusable(f"the token is of type {kind.upper()}, and has a {wrong}")
    values |= given
    period = values.get("period", "30") if kind == TOTP else "30"
    counter = values.get("counter", "0") if kind == HOTP else "0"
    algorithm = values.get("algorithm", "SHA1").upper()
    return Found(
        secret=key,
        kind=kind,
        algorithm=re.sub("[-_ ]", "", algorithm).removeprefix("HMAC"),
        digits=number(values.get("digits", "6"), "the digits of a code", 6, 8),
        period=number(period, "the period", 1, MAX_PERIOD_SECONDS),
        counter=number(counter, "the counter", 0, MAX_COUNTER),
    )


def _kind(text: str, beside: list[str], chosen: str) -> str:
    """TOTP or HOTP. beside: those of counter and period that the list has."""
    if text:
        kind = _KINDS.get(re.sub("[^a-z]", "", text.lower()), "")
        if not kind:
            raise Unusable("the type must be TOTP or HOTP")
        return kind
    if len(beside) == 1:
        return TOTP if beside == ["period"] else HOTP
    if not chosen:
        message = "the file does not say whether the token has a clock (totp) or counts (hotp)"
        raise Unusable(message, "--type=totp")
    return chosen
