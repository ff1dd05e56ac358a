# SPDX-License-Identifier: MIT
"""Recovery codes: each one is valid once instead of a code, for users who lost the phone.

The file `recovery` beside the secret holds only hashes and is never written at login: the line
"pam-totp recovery 1 SALT" (16 bytes in hex), then one hash a line (scrypt, RFC 7914, N=16, r=8,
p=1, in hex). Which ones are used is recorded by root: /var/lib/pam-totp/used/UID, one hash a line.
How many incorrect ones in a row were entered is kept with the last accepted time steps, under the
name INCORRECT (pam_totp.records.user.attempts).

- A code MUST be recorded as used, on the disk, before it is accepted.
- The file is the user's, time and memory are root's: it MUST NOT say what a hash costs.
"""

import posix
import re
from base64 import b32encode

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import SECRET_MALFORMED, Failure

NAME = "recovery"
KIND = "used"
INCORRECT = "incorrect-recovery-codes"
CODE_BYTES = 10  # 16 characters of base32, without padding
HASH_BYTES = 32
SALT_BYTES = 16
MAX_USED = 1000
HOW_MANY = 10

_FILE = re.compile(r"pam-totp recovery 1 ([0-9a-f]{32})((?:\n[0-9a-f]{64})*)\n?")


def hash_code(code: str, salt: bytes) -> str:
    """The hash of a normalised code, in hex. It takes 16 KiB and 0.05 ms: a slow one would protect
    nothing. 80 random bits cannot be tried at any cost, eight digits of another program can at
    each that a login can bear, and the secret lies beside this file, readable by the same users."""
    from _hashlib import scrypt  # OpenSSL's; loaded only for a recovery code

    return bytes(scrypt(code.encode(), salt=salt, n=16, r=8, p=1, dklen=HASH_BYTES)).hex()


def new_codes() -> list[str]:
    """Ten fresh codes, as they are hashed."""
    return [b32encode(posix.urandom(CODE_BYTES)).decode("ascii").lower() for _ in range(HOW_MANY)]


def new_file(codes: list[str], salt: bytes = b"") -> bytes:
    """The content of a file that takes these codes and no others. salt: SALT_BYTES; fresh if
    empty."""
    salt = salt or posix.urandom(SALT_BYTES)
    hashes = [hash_code(code, salt) for code in codes]
    return "\n".join([f"pam-totp recovery 1 {salt.hex()}", *hashes, ""]).encode()


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
    found = _FILE.fullmatch(content.decode("ascii", "replace"))
    if found is None:
        raise Failure(SECRET_MALFORMED, f"{secret_dir.path}/{NAME} is malformed")
    return bytes.fromhex(found[1]), found[2].split()


def used(uid: int) -> list[str]:
    """The hashes of the codes that the user has used, oldest first. Raises Failure."""
    return (VAR.read(KIND, uid) or b"").decode("ascii", "replace").split()


def use_up(uid: int, digest: str, already: list[str]) -> None:
    """Records a code as used, durably. Raises OSError or Failure if that cannot be done."""
    lines = [*already[-MAX_USED:], digest, ""]
    VAR.write(KIND, uid, "\n".join(lines).encode("ascii"))
