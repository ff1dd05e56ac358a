"""Recovery codes: each one is valid once instead of a code, for users who lost the phone.

The file `recovery` beside the secret holds only hashes and is never written at login: the line
"pam-totp recovery 1 N R P SALT" (scrypt, RFC 7914, salt in hex), then one hash a line. Which ones
are used is recorded by root: /var/lib/pam-totp/used/UID, one hash a line. How many wrong ones in a
row were entered is in /run/pam-totp/wrong-recovery-codes/UID, a number.

- A code MUST be recorded as used, on the disk, before it is accepted.
"""

import posix
from _operator import _compare_digest

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.otp import RECOVERY_CHARACTERS, RECOVERY_SYMBOLS
from pam_totp.rules.reasons import SECRET_MALFORMED, STATE_UNAVAILABLE, Failure

NAME = "recovery"
KIND = "used"
WRONG_KIND = "wrong-recovery-codes"
FREE_TRIES = 5
MAX_DELAY_SECONDS = 8
# 16 MiB and about 50 ms. A code has 80 bits: this is for codes that people chose to shorten.
COST, BLOCKS, LANES = 1 << 14, 8, 1
HASH_BYTES = 32
SALT_BYTES = 16
MAX_SPENT = 1000
HOW_MANY = 10
GROUP_CHARACTERS = 4

_HEADER = "pam-totp recovery 1"


class Codes:
    """The hashes of a set of recovery codes, with what they were made with."""

    __slots__ = ("_parameters", "_salt", "hashes")

    def __init__(
        self,
        hashes: list[str],
        salt: bytes,
        parameters: tuple[int, int, int] = (COST, BLOCKS, LANES),
    ) -> None:
        self.hashes = hashes
        self._salt = salt
        self._parameters = parameters

    def hash(self, code: str) -> str:
        """The hash of a normalised code, in hex. Takes about 50 ms, on purpose."""
        for name in ("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES"):
            posix.unsetenv(name)  # it would load what these name
        from _hashlib import scrypt  # OpenSSL's; loaded only for a recovery code

        cost, blocks, lanes = self._parameters
        memory = 128 * blocks * (cost + lanes + 4)
        numbers = {"n": cost, "r": blocks, "p": lanes, "maxmem": memory, "dklen": HASH_BYTES}
        digest: bytes = scrypt(code.encode("ascii"), salt=self._salt, **numbers)
        return digest.hex()

    def holds(self, digest: str) -> bool:
        """Whether a hash is one of these, each one compared in constant time."""
        return bool(sum([_compare_digest(digest, known) for known in self.hashes]))

    def to_bytes(self) -> bytes:
        """The file's content."""
        numbers = " ".join(str(number) for number in self._parameters)
        return "\n".join([f"{_HEADER} {numbers} {self._salt.hex()}", *self.hashes, ""]).encode()


def new_codes() -> list[str]:
    """Ten fresh codes, as they are hashed; each symbol is 5 random bits."""
    return [
        "".join(RECOVERY_SYMBOLS[byte & 31] for byte in posix.urandom(RECOVERY_CHARACTERS))
        for _ in range(HOW_MANY)
    ]


def new_file(codes: list[str]) -> bytes:
    """The content of a file that takes these codes and no others."""
    made = Codes([], posix.urandom(SALT_BYTES))
    made.hashes = [made.hash(code) for code in codes]
    return made.to_bytes()


def describe(codes: list[str]) -> str:
    """What users are told when they get new codes: several lines."""
    groups = range(0, RECOVERY_CHARACTERS, GROUP_CHARACTERS)
    return "\n".join(
        [
            "Recovery codes, each valid for one login instead of a code. Print them or write",
            "them down now, and keep them away from the phone. They are not shown again.",
            "",
            *("  " + "-".join(code[at : at + GROUP_CHARACTERS] for at in groups) for code in codes),
        ]
    )


def read(place: SecretDir) -> Codes | None:
    """The recovery codes there, None without any. Raises Failure."""
    content = place.read(NAME)
    if content is None:
        return None
    try:
        header, *hashes = content.decode("ascii").split("\n")
        name, *numbers, salt = header.removeprefix(_HEADER).rsplit(" ", 4)
        cost, blocks, lanes = (int(number) for number in numbers)
        if name or not header.startswith(_HEADER) or not is_affordable(cost, blocks, lanes):
            raise ValueError
        hashes = [line for line in hashes if line]
        if not all(len(bytes.fromhex(line)) == HASH_BYTES for line in hashes):
            raise ValueError
        return Codes(hashes, bytes.fromhex(salt), (cost, blocks, lanes))
    except ValueError:
        raise Failure(SECRET_MALFORMED, f"{place.path}/{NAME} is malformed") from None


def is_affordable(cost: int, blocks: int, lanes: int) -> bool:
    """Whether scrypt takes the numbers (RFC 7914, section 2), and none is over that of a file made
    here: the file is the user's, time and memory are root's."""
    is_power_of_two = cost & (cost - 1) == 0
    return is_power_of_two and 1 < cost <= COST and 0 < blocks <= BLOCKS and 0 < lanes <= LANES


def spent(uid: int) -> list[str]:
    """The hashes of the codes that the user has used, oldest first. Raises Failure."""
    content = VAR.read(KIND, uid) or b""
    return content.decode("ascii", "replace").split()


def spend(uid: int, digest: str, already: list[str]) -> None:
    """Records a code as used, durably. Raises Failure if that cannot be done."""
    lines = [*already[-MAX_SPENT:], digest, ""]
    try:
        VAR.write(KIND, uid, "\n".join(lines).encode("ascii"))
    except OSError as failure:
        detail = f"cannot record the recovery code as used: {failure.strerror}"
        raise Failure(STATE_UNAVAILABLE, detail) from None


def count_wrong(uid: int) -> int:
    """Counts one more wrong code: how many in a row it is. Raises Failure."""
    content = RUN.read(WRONG_KIND, uid) or b""
    count = 1 + int(content) if content.isdigit() and len(content) < 9 else 1
    try:
        RUN.write(WRONG_KIND, uid, b"%d" % count)
    except OSError as failure:
        detail = f"unknown recovery code, which cannot be counted: {failure.strerror}"
        raise Failure(STATE_UNAVAILABLE, detail) from None
    return count


def forget_wrong(uid: int) -> bool:
    """Forgets the wrong codes; whether there was one. Raises OSError or Failure."""
    return RUN.remove(WRONG_KIND, uid)


def delay_seconds(count: int) -> int:
    """How long the answer to the so-maniest wrong code in a row is held back. A correct code is
    never kept waiting, so whoever guesses cannot keep the owner out."""
    return min(1 << min(count - FREE_TRIES - 1, 9), MAX_DELAY_SECONDS) if count > FREE_TRIES else 0
