"""One-time passwords: HOTP (RFC 4226) and TOTP (RFC 6238). Pure; standard library only.

Runs inside every login: no module that is not compiled into the interpreter is imported here,
hence HMAC (RFC 2104) in five lines over the built-in hashes instead of hashlib and hmac.
"""

import sys
from _operator import _compare_digest
from _sha1 import sha1

if sys.version_info >= (3, 12):
    from _sha2 import sha256, sha512
else:
    from _sha256 import sha256
    from _sha512 import sha512

# Name in the otpauth URI: (hash, its block size in bytes; RFC 2104 and FIPS 180-4).
ALGORITHMS = {"SHA1": (sha1, 64), "SHA256": (sha256, 64), "SHA512": (sha512, 128)}
DIGITS = (6, 7, 8)

_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def hotp(secret: bytes, counter: int, digits: int, algorithm: str) -> str:
    """The code of `digits` digits for an 8-byte `counter`. RFC 4226, section 5.3."""
    new_hash, block_bytes = ALGORITHMS[algorithm]
    if len(secret) > block_bytes:
        secret = new_hash(secret).digest()
    key = secret.ljust(block_bytes, b"\0")
    inner = new_hash(key.translate(_INNER) + counter.to_bytes(8, "big")).digest()
    digest = new_hash(key.translate(_OUTER) + inner).digest()
    offset = digest[-1] & 0x0F
    truncated = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(truncated % 10**digits).zfill(digits)


def step_at(now: float, period: int) -> int:
    """The time step that `now` (Unix time in seconds) lies in. RFC 6238, section 4.2."""
    return int(now // period)


def matching_steps(
    secret: bytes, code: str, steps: range, digits: int, algorithm: str
) -> list[int]:
    """Those of `steps` whose code is `code`, compared in constant time, each one looked at."""
    return [
        step
        for step in steps
        if step >= 0 and _compare_digest(hotp(secret, step, digits, algorithm), code)
    ]
