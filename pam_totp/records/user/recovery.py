# SPDX-License-Identifier: MIT
"""Recovery codes: each one is valid once instead of a code, for users who lost the phone.

The file `recovery` beside the secret holds only hashes and is never written at login: the line
"pam-totp recovery 1 SALT" (16 bytes in hex), then one hash a line (scrypt, RFC 7914, N=16384, r=8,
p=1, in hex). Which ones are used is recorded by root: /var/lib/pam-totp/used/UID, one hash a line.
/run/pam-totp/wrong-recovery-codes/UID: how many incorrect ones in a row were entered, a number.

- A code MUST be recorded as used, on the disk, before it is accepted.
- The file is the user's, time and memory are root's: it MUST NOT say what a hash costs.
"""

import posix

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.otp import RECOVERY_CHARACTERS, RECOVERY_SYMBOLS
from pam_totp.rules.reasons import SECRET_MALFORMED, Failure

NAME = "recovery"
KIND = "used"
INCORRECT_KIND = "wrong-recovery-codes"
HASH_BYTES = 32
SALT_BYTES = 16
MAX_USED = 1000
HOW_MANY = 10
# How long the answer to the first incorrect code in a row is held back, to the second, and so on.
DELAY_SECONDS = (0, 0, 0, 0, 0, 1, 2, 4, 8)

_HEADER = "pam-totp recovery 1 "


def hash_code(code: str, salt: bytes) -> str:
    """The hash of a normalised code, in hex. Takes 16 MiB and about 50 ms, on purpose: a code has
    80 bits, but this is also for codes that people chose to shorten."""
    for name in ("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES"):
        posix.unsetenv(name)  # it would load what these name
    from _hashlib import scrypt  # OpenSSL's; loaded only for a recovery code

    numbers = {"n": 1 << 14, "r": 8, "p": 1, "maxmem": 1 << 25, "dklen": HASH_BYTES}
    digest: bytes = scrypt(code.encode("ascii"), salt=salt, **numbers)
    return digest.hex()


def new_codes() -> list[str]:
    """Ten fresh codes, as they are hashed; each symbol is 5 random bits."""
    return [
        "".join(RECOVERY_SYMBOLS[byte & 31] for byte in posix.urandom(RECOVERY_CHARACTERS))
        for _ in range(HOW_MANY)
    ]


def new_file(codes: list[str]) -> bytes:
    """The content of a file that takes these codes and no others."""
    salt = posix.urandom(SALT_BYTES)
    hashes = [hash_code(code, salt) for code in codes]
    return "\n".join([_HEADER + salt.hex(), *hashes, ""]).encode()


def describe(codes: list[str]) -> str:
    """What users are told when they get new codes: several lines."""
    shown = [f"\n  {code[:4]}-{code[4:8]}-{code[8:12]}-{code[12:]}" for code in codes]
    return (
        "Recovery codes, each valid for one login instead of a code. Print them or write\n"
        "them down now, and keep them away from the phone. They are not shown again.\n"
        + "".join(shown)
    )


def read(secret_dir: SecretDir) -> tuple[bytes, list[str]] | None:
    """The salt and the hashes of the codes there, None without any. Raises Failure."""
    content = secret_dir.read(NAME)
    if content is None:
        return None
    header, *hashes = content.decode("ascii", "replace").removesuffix("\n").split("\n")
    salt = header.removeprefix(_HEADER)
    is_hex = _is_hex(salt, SALT_BYTES) and all(_is_hex(each, HASH_BYTES) for each in hashes)
    if header != _HEADER + salt or not is_hex:
        raise Failure(SECRET_MALFORMED, f"{secret_dir.path}/{NAME} is malformed")
    return bytes.fromhex(salt), hashes


def _is_hex(text: str, size: int) -> bool:
    return len(text) == 2 * size and not text.strip("0123456789abcdef")


def used(uid: int) -> list[str]:
    """The hashes of the codes that the user has used, oldest first. Raises Failure."""
    return (VAR.read(KIND, uid) or b"").decode("ascii", "replace").split()


def use_up(uid: int, digest: str, already: list[str]) -> None:
    """Records a code as used, durably. Raises OSError or Failure if that cannot be done."""
    lines = [*already[-MAX_USED:], digest, ""]
    VAR.write(KIND, uid, "\n".join(lines).encode("ascii"))


def count_incorrect(uid: int) -> int:
    """Counts one more incorrect code: how many in a row it is. Raises OSError or Failure."""
    count = 1 + int(RUN.read(INCORRECT_KIND, uid) or b"0")
    RUN.write(INCORRECT_KIND, uid, b"%d" % count)
    return count


def forget_incorrect(uid: int) -> bool:
    """Forgets the incorrect codes; whether there was one. Raises OSError or Failure."""
    return RUN.remove(INCORRECT_KIND, uid)


def delay_seconds(count: int) -> int:
    """How long the answer to the last of `count` incorrect codes in a row is held back. A correct
    code is never kept waiting, so a guesser cannot keep the owner out."""
    return DELAY_SECONDS[min(count, len(DELAY_SECONDS)) - 1]
