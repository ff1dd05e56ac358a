"""One line of a secret file: an otpauth URI, then a free comment that names the device. Pure.

The URI is the Key URI Format that authenticator apps read. It is parsed here and not by pyotp,
which accepts an empty secret and a period of 0 and lets a second `secret=` win.
"""

from binascii import unhexlify

from pam_totp.rules.otp import ALGORITHMS, DIGITS

MIN_SECRET_BYTES = 10  # The classic 16-character secret; RFC 4226 asks for 16 of new ones.
MAX_SECRET_BYTES = 128
MAX_PERIOD_SECONDS = 3600
MAX_CREDENTIALS = 32

_BASE32 = {symbol: value for value, symbol in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")}


class Malformed(ValueError):
    """A line that is no credential; the message says why and never holds the secret."""


class Credential:
    """A TOTP secret with its parameters.

    secret: key bytes; algorithm: a key of ALGORITHMS; digits: 6 to 8; period: seconds;
    account: "Issuer:user@host" as the app shows it; device: the comment, may be empty;
    identity: 32 hex digits that name this secret in root's state without telling it.
    """

    __slots__ = ("account", "algorithm", "device", "digits", "identity", "period", "secret")

    def __init__(
        self, secret: bytes, algorithm: str, digits: int, period: int, account: str, device: str
    ) -> None:
        self.secret = secret
        self.algorithm = algorithm
        self.digits = digits
        self.period = period
        self.account = account
        self.device = device
        new_hash, _ = ALGORITHMS["SHA256"]
        self.identity = new_hash(b"pam-totp credential 1\0" + secret).hexdigest()[:32]


def parse_line(line: str) -> Credential:
    """The credential of one line. Raises Malformed."""
    uri, _, device = line.strip().partition(" ")
    if not uri.startswith("otpauth://"):
        raise Malformed("is no otpauth:// URI")
    kind, _, rest = uri[len("otpauth://") :].partition("/")
    if kind != "totp":
        raise Malformed("is not of type totp")
    label, _, query = rest.partition("#")[0].partition("?")
    parameters: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name in parameters:
            raise Malformed("gives a parameter twice")
        parameters[name] = _unquote(value)
    algorithm = parameters.get("algorithm", "SHA1").upper()
    if algorithm not in ALGORITHMS:
        raise Malformed("names an algorithm other than SHA1, SHA256, SHA512")
    digits = _number(parameters.get("digits", "6"), "digits")
    if digits not in DIGITS:
        raise Malformed("wants other than 6, 7 or 8 digits")
    period = _number(parameters.get("period", "30"), "period")
    if not 1 <= period <= MAX_PERIOD_SECONDS:
        raise Malformed(f"wants a period outside 1 to {MAX_PERIOD_SECONDS} seconds")
    if "secret" not in parameters:
        raise Malformed("has no secret=")
    secret = decode_base32(parameters["secret"])
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise Malformed(f"has a secret outside {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return Credential(secret, algorithm, digits, period, _unquote(label), device.strip())


def parse_file(content: bytes) -> tuple[list[Credential], list[str]]:
    """The credentials of a secret file and, for each line that is none, a sentence why.

    One bad line does not take the good ones away: each still needs its own right code.
    """
    credentials: list[Credential] = []
    faults: list[str] = []
    for number, line in enumerate(_text(content).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(credentials) == MAX_CREDENTIALS:
            faults.append(f"line {number} is one more than {MAX_CREDENTIALS} credentials")
            break
        try:
            credentials.append(parse_line(line))
        except Malformed as fault:
            faults.append(f"line {number} {fault}")
    return credentials, faults


def _text(content: bytes) -> str:
    """Some editors put a byte order mark in front."""
    return content.decode("utf-8", "replace").removeprefix("\ufeff")


def decode_base32(text: str) -> bytes:
    """The bytes of RFC 4648 base32, either case, padding optional. Raises Malformed."""
    bits = 0
    symbols = text.upper().rstrip("=")
    for symbol in symbols:
        value = _BASE32.get(symbol)
        if value is None or not text.isascii():  # "ß".upper() would be "SS"
            raise Malformed("has a secret that is not base32")
        bits = bits << 5 | value
    spare_bits = len(symbols) * 5 % 8
    return (bits >> spare_bits).to_bytes(len(symbols) * 5 // 8, "big")


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Malformed(f"gives {name} that is no number")
    return int(text)


def _unquote(text: str) -> str:
    """Percent-decoded (RFC 3986, section 2.1); urllib would cost a login 10 ms."""
    first, *quoted = text.encode("utf-8", "replace").split(b"%")
    decoded = [first]
    for part in quoted:
        try:
            decoded.append(unhexlify(part[:2].ljust(2, b"%")) + part[2:])
        except ValueError:
            raise Malformed("has a broken %-sequence") from None
    return b"".join(decoded).decode("utf-8", "replace")
