# SPDX-License-Identifier: MIT
"""The key of a hardware token, as its maker hands it over: hex, base32 or an otpauth URI.

- It MUST NOT come by an argument, which every user can see, and no message may quote it.
"""

import os
import stat
import sys
from base64 import b32encode

from pam_totp.enrollment.open_file import warn_of_readers
from pam_totp.enrollment.terminal import ask_password
from pam_totp.errors import Error, UsageError
from pam_totp.imports import key_text
from pam_totp.rules.credential import Credential, Malformed, parse_line

MAX_BYTES = 4096
PROMPT = "Key of the token (hex, base32 or otpauth URI): "
HELP = "pam-totp enroll --help"
_NOTHING = "; nothing was changed"


def read(path: str | None, prompt: str = PROMPT, what: str = "key", hint: str = HELP) -> str:
    """The key, or another secret (`what`), typed without echo or from a file of one line (`-`:
    standard input). hint: the help of the command. Raises Error."""
    if path is None:
        text = ask_password(prompt, what)
    elif path == "-":
        text = sys.stdin.readline(MAX_BYTES + 1)
    else:
        text = _content_of(path, hint)
    lines = text.removeprefix("\ufeff").strip("\r\n").splitlines()
    if len(lines) != 1 or len(text) > MAX_BYTES:
        raise Error(f"the {what} must be one line of at most {MAX_BYTES} bytes{_NOTHING}", hint)
    return lines[0]


def _content_of(path: str, hint: str) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Error(f"{path!r} is not a regular file{_NOTHING}", hint)
            warn_of_readers(file, path)
            return os.read(file, MAX_BYTES + 1).decode("utf-8", "replace")
        finally:
            os.close(file)
    except (OSError, ValueError) as failure:
        why = failure.strerror if isinstance(failure, OSError) else "not the name of a file"
        raise Error(f"cannot read {path!r}: {why}{_NOTHING}", hint) from None


def credential_of(text: str, chosen: dict[str, str | int | None]) -> Credential:
    """The credential of a key. chosen: hotp, counter, algorithm, digits and period, None where
    there was no option, as there must be none beside a URI. Raises Error."""
    text = text.strip()
    given = [name for name, value in chosen.items() if value is not None]
    try:
        if text.lower().startswith("otpauth://"):
            if given:
                message = "the parameters are in the URI"
                raise UsageError(message, f"leave out --{given[0]}")
            return parse_line(text)
        key = b32encode(bytes_of(text)).decode("ascii").rstrip("=")
        kind, parameters = "totp", chosen | {"hotp": None}
        if chosen["hotp"]:
            kind, parameters["counter"] = "hotp", chosen["counter"] or 0
        more = [f"&{name}={value}" for name, value in parameters.items() if value is not None]
        return parse_line(f"otpauth://{kind}/token?secret={key}{''.join(more)}")
    except Malformed as fault:
        raise Error(f"the key cannot be used: it {fault}{_NOTHING}", HELP) from None


def bytes_of(text: str) -> bytes:
    """The bytes of a key in hex or base32, in groups or not. Raises Error or Malformed."""
    readings = key_text.readings(text)
    if not readings:
        raise Malformed("is neither hex nor base32")
    if len(readings) > 1:
        raise Error(f"the key may be hex or base32{_NOTHING}", key_text.PREFIX_HINT)
    return next(iter(readings.values()))
