# SPDX-License-Identifier: MIT
"""One line of a secret file: an otpauth URI, then a free comment that names the device. Pure.

The URI is the Key URI Format that authenticator apps read. It is parsed here and not by pyotp,
which accepts an empty secret and a period of 0 and lets a second `secret=` win.
"""

from binascii import unhexlify

from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.record import Record
from pam_totp.rules.typed_code import DIGITS

MIN_SECRET_BYTES = 10  # The classic 16-character secret; RFC 4226 asks for 16 of new ones.
MAX_SECRET_BYTES = 128
MAX_PERIOD_SECONDS = 3600
MAX_CREDENTIALS = 32
MIN_KEY_WORD = 16  # A word of base32 this long is a key, whatever its case.

# What is known of a query: text behind a space is a part of it where one of these follows.
_PARAMETERS = ("secret", "issuer", "algorithm", "digits", "period", "counter", "offset")
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DIGITS = str.maketrans(_BASE32, "0123456789abcdefghijklmnopqrstuv")  # as int(text, 32) reads them


class Malformed(ValueError):
    """A line that is not a credential; the message says why and never contains the secret."""


class Credential(Record):
    """A secret with its parameters.

    secret: key bytes; algorithm: a key of ALGORITHMS; digits: 6 to 8; period: seconds;
    account: "Issuer:user@host" as the app shows it; device: the comment, may be empty;
    identity: 32 hex digits that name this secret in root's state without telling it; counter: None
    with TOTP, with HOTP the next one, as the line has it; offset: time steps by which a token's
    clock is ahead.
    """

    secret: bytes
    algorithm: str
    digits: int
    period: int
    account: str
    device: str
    identity: str
    counter: int | None = None
    offset: int = 0


def parse_line(line: str) -> Credential:
    """The credential of one line. Raises Malformed."""
    head, _, rest = line.strip().replace("\t", " ").replace("&amp;", "&").partition("?")
    scheme, _, path = head.partition("://")
    kind, _, label = path.partition("/")
    if scheme.lower() != "otpauth":
        raise Malformed("is not an otpauth:// URI")
    if kind.lower() not in ("totp", "hotp"):
        raise Malformed("is not of type totp or hotp")
    query, device = _split(rest)
    parameters: dict[str, str] = {}
    for pair in query.partition("#")[0].split("&"):
        name, _, value = pair.partition("=")
        if name.lower() in parameters:
            raise Malformed("has a duplicate parameter")
        parameters[name.lower()] = _unquote(value)
    algorithm = parameters.get("algorithm", "SHA1").upper()
    if algorithm not in ALGORITHMS:
        raise Malformed("must have the algorithm SHA1, SHA256 or SHA512")
    numbers = [parameters.get("digits", "6"), parameters.get("period", "30")]
    for name, text in zip(("digits", "period"), numbers):  # noqa: B905 - two
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise Malformed(f"must have a number as {name}")
    digits, period = (int(text) for text in numbers)
    if digits not in DIGITS:
        raise Malformed("must have 6, 7 or 8 digits")
    if not 1 <= period <= MAX_PERIOD_SECONDS:
        raise Malformed(f"must have a period of 1 to {MAX_PERIOD_SECONDS} seconds")
    if "secret" not in parameters:
        raise Malformed("has no secret=")
    secret = decode_base32(parameters["secret"])
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise Malformed(f"must have a secret of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    new_hash, _ = ALGORITHMS["SHA256"]
    credential = Credential(
        secret=secret,
        algorithm=algorithm,
        digits=digits,
        period=period,
        account=_unquote(label),
        device=device,
        identity=new_hash(b"pam-totp credential 1\0" + secret).hexdigest()[:32],
    )
    if kind.lower() == "totp" and "offset" not in parameters:
        return credential
    from pam_totp.rules.tokens import as_token  # few users have one

    return as_token(credential, kind.lower(), parameters)


def _split(rest: str) -> tuple[str, str]:
    """The query and the device behind it. The query ends at the first space after the start of its
    last parameter, so a value before that may hold plain spaces. Raises Malformed.

    No part of a secret may be taken for a device: devices are shown and logged."""
    pairs = rest.split("&")
    names = [pair.partition("=")[0].lower() for pair in pairs]
    last = max((at for at, name in enumerate(names) if name in _PARAMETERS), default=0)
    end, _, device = "&".join(pairs[last:]).partition(" ")
    device = device.strip()
    if "secret=" in device.lower() or "otpauth" in device.lower():
        raise Malformed("has a second secret behind the first")
    word = device.partition(" ")[0].partition("#")[0]
    key = end.partition("#")[0].partition("=")[2]
    is_base32 = word.strip("-=") and not word.upper().strip("-=" + _BASE32)
    cases = [(text.isupper(), text.islower()) for text in (key, key + word)]
    is_alike = cases[0] == cases[1] and "&" not in end
    if names[last] == "secret" and is_base32 and (is_alike or len(word) >= MIN_KEY_WORD):
        raise Malformed("has a space in its secret, or a device that may be a part of the secret")
    return "&".join([*pairs[:last], end]), device


def parse_file(content: bytes) -> tuple[list[Credential], list[str]]:
    """The credentials of a secret file and, for each line that is none, a sentence why.

    One malformed line does not disable the others: each still needs its own correct code.
    """
    credentials: list[Credential] = []
    faults: list[str] = []
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")  # as some editors write it
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(credentials) == MAX_CREDENTIALS:
            faults.append(f"line {number} exceeds the maximum of {MAX_CREDENTIALS} credentials")
            break
        try:
            credentials.append(parse_line(line))
        except Malformed as fault:
            faults.append(f"line {number} {fault}")
    return credentials, faults


def decode_base32(text: str) -> bytes:
    """The bytes of RFC 4648 base32, either case, padding optional, in groups or not. Raises
    Malformed."""
    symbols = text.upper().rstrip("=")
    for separator in " -+":  # "+" is a space, in a query
        symbols = symbols.replace(separator, "")
    if symbols.strip(_BASE32) or not text.isascii():  # "ß".upper() would be "SS"
        raise Malformed("has a secret that is not base32")
    bits = int(symbols.translate(_DIGITS) or "0", 32)
    length, spare_bits = divmod(len(symbols) * 5, 8)
    return (bits >> spare_bits).to_bytes(length, "big")


def _unquote(text: str) -> str:
    """Percent-decoded (RFC 3986, section 2.1); urllib would cost a login 10 ms."""
    first, *quoted = text.encode("utf-8", "replace").split(b"%")
    decoded = [first]
    for part in quoted:
        try:
            decoded.append(unhexlify(part[:2].ljust(2, b"%")) + part[2:])
        except ValueError:
            raise Malformed("has an invalid %-sequence") from None
    return b"".join(decoded).decode("utf-8", "replace")
