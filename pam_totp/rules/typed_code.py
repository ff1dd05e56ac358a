# SPDX-License-Identifier: MIT
"""How a code is read that was typed: of an app, or a recovery code. Pure."""

from pam_totp.rules.reasons import BAD_INPUT, Failure

DIGITS = (6, 7, 8)
# Of a recovery code: 16 characters of 5 bits, 80 bits, beyond guessing at any rate, so no throttle
# holds them up.
RECOVERY_CHARACTERS = 16
RECOVERY_SYMBOLS = "abcdefghijklmnopqrstuvwxyz234567"
MAX_TYPED_DIGITS, MAX_TYPED_RECOVERY = 32, 64  # bytes, spaces and dashes counted

_MISREAD = bytes.maketrans(b"018", b"olb")


def read_code(typed: bytes, *, allow_recovery: bool = False) -> str:
    """The digits of what was typed: ASCII only, spaces as in "123 456" left out. With
    `allow_recovery` a recovery code too, as it is hashed: any case, spaces and dashes anywhere; 0,
    1 and 8, which no such code has, for o, l and b.

    Raises Failure(bad-input). One trailing NUL is what older pam_exec releases append.
    """
    text = typed.removesuffix(b"\0").replace(b" ", b"")
    if not text:
        raise Failure(BAD_INPUT, "no code, or no way to ask (sshd: KbdInteractiveAuthentication)")
    if len(typed) <= MAX_TYPED_DIGITS and len(text) in DIGITS and text.isdigit():
        return text.decode("ascii")
    code = text.lower().replace(b"-", b"").translate(_MISREAD)
    is_recovery = len(code) == RECOVERY_CHARACTERS and not code.strip(RECOVERY_SYMBOLS.encode())
    if allow_recovery and is_recovery and len(typed) <= MAX_TYPED_RECOVERY:
        return code.decode("ascii")
    raise Failure(BAD_INPUT, f"not {DIGITS[0]} to {DIGITS[-1]} ASCII digits")
