# SPDX-License-Identifier: MIT
"""A user that faults are tried on: all that is kept of one, set by hand and read by hand.

Nothing of the product reads or writes here: the formats are those of DESIGN.md.
"""

import hashlib
import re
import secrets
import time
from base64 import b32decode
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests.faults.injection import Ended, run
from tests.host.accounts import User
from tests.host.credentials import Credential, enroll, new_secrets
from tests.host.programs import GATE, RECORDS, STATE, VERIFY
from tests.host.tokens import Token

RUN, VAR = RECORDS, STATE
RECORD_BYTES = 4096

_RECORD = re.compile(
    r"pam-totp attempts 1\n((?:step [0-9a-f]{32} \d+\n)*)(?:failures (\d+) (\d+) (\d+)\n)? *"
)
_COUNTERS = re.compile(r"pam-totp counters 1\n((?:[0-9a-f]{32} \d+\n)*)")
_RECOVERY = re.compile(r"pam-totp recovery 1 [0-9a-f]{32}\n(?:[0-9a-f]{64}\n){10}")


@dataclass(frozen=True)
class Record:
    """What /run/pam-totp/UID says: the last step accepted of each credential, incorrect codes."""

    steps: dict[str, int]
    failures: int

    @classmethod
    def parse(cls, content: bytes) -> "Record":
        if not content.strip(b" "):  # spaces alone are what a first record begins as
            return cls({}, 0)
        found = _RECORD.fullmatch(content.decode("ascii"))
        assert found and len(content) == RECORD_BYTES, f"torn record: {content[:200]!r}"
        steps = (line.split()[1:] for line in found[1].splitlines())
        return cls({name: int(step) for name, step in steps}, int(found[2] or 0))


@dataclass(frozen=True)
class Kept:
    """All that is kept of a user, byte for byte; None for what is not there."""

    secret: bytes | None
    recovery: bytes | None
    record: bytes | None
    marked: bool
    grant: bytes | None
    spent: bytes | None
    counters: bytes | None

    @property
    def spent_hashes(self) -> set[str]:
        hashes = (self.spent or b"").decode("ascii").split()
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes), hashes
        return set(hashes)

    @property
    def last_counters(self) -> dict[str, int]:
        """The last accepted counter of each token."""
        found = _COUNTERS.fullmatch((self.counters or b"pam-totp counters 1\n").decode("ascii"))
        assert found, f"torn record of counters: {self.counters!r}"
        return {name: int(last) for name, last in map(str.split, found[1].splitlines())}


class RecoveryCodes:
    """Ten recovery codes and the file that holds their hashes."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        letters = "abcdefghijklmnopqrstuvwxyz234567"
        self.codes = ["".join(secrets.choice(letters) for _ in range(16)) for _ in range(10)]
        self.hashes = [self._hash(code) for code in self.codes]
        header = f"pam-totp recovery 1 {self._salt.hex()}"
        self.content = "\n".join([header, *self.hashes, ""])

    def _hash(self, code: str) -> str:
        return hashlib.scrypt(code.encode(), salt=self._salt, n=16, r=8, p=1, dklen=32).hex()


@cache
def recovery_codes() -> RecoveryCodes:
    """The same for all users: which of them a user has used is in root's record of that user."""
    return RecoveryCodes()


class Subject:
    """A user with a credential and recovery codes, at some time of the life of both."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.credential = Credential(user, new_secrets()[0])
        self.recovery = recovery_codes()
        self.variables = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"}
        self.record_path = RUN / str(user.uid)

    @cached_property
    def incorrect_code(self) -> str:
        return self.credential.incorrect_code()

    @cached_property
    def identity(self) -> str:
        """How root's record names the credential."""
        key = b32decode(self.credential.secret)
        return hashlib.sha256(b"pam-totp credential 1\0" + key).hexdigest()[:32]

    def home(self, name: str) -> Path:
        return self.user.home / ".config" / "pam-totp" / name

    @property
    def system_secret(self) -> Path:
        return VAR / "secrets" / self.user.name / "secret"

    def root(self, kind: str) -> Path:
        return VAR / kind / str(self.user.uid)

    def forget(self) -> None:
        """Takes the user back to before any enrollment."""
        paths = [self.home("secret"), self.home("recovery"), self.record_path]
        paths += [
            RUN / "certain" / self.user.name,
            self.system_secret,
            self.pending,
            RUN / "sent" / str(self.user.uid),
            *map(self.root, ("enforced", "grants", "used", "counters", "contacts")),
        ]
        for path in paths:
            path.unlink(missing_ok=True)

    @property
    def pending(self) -> Path:
        return RUN / "pending" / str(self.user.uid)

    @property
    def pending_uri(self) -> str:
        return (
            f"otpauth://totp/server:{self.user.name}?secret={self.credential.secret}&issuer=server"
        )

    def offer(self) -> None:
        """Not enrolled, and a QR code was shown to the user a moment ago."""
        self.forget()
        seconds = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        kept = f"{self.pending_uri} {self.user.name} {seconds}\n"
        self.write(self.pending, kept)
        RUN.chmod(0o700)

    def enroll(self, marked: bool = True, recorded: bool = True, store: str = "user") -> None:
        """Enrolls the user anew. marked: has logged in with a code; recorded: not long ago, so
        that there is a record, with one incorrect code since."""
        self.forget()
        enroll(self.user, self.credential.secret)
        if store == "system":
            self.write(self.system_secret, self.home("secret").read_text(encoding="ascii"))
            self.home("secret").unlink()
        else:
            self.user.give(self.home("recovery"), self.recovery.content)
        if marked:
            self.write(self.root("enforced"), "")
        if recorded:
            seconds = int(time.clock_gettime(time.CLOCK_BOOTTIME))
            step = self.credential.step() - 20
            lines = f"pam-totp attempts 1\nstep {self.identity} {step}\nfailures 1 {seconds} 0\n"
            self.write(self.record_path, lines.ljust(RECORD_BYTES))

    def enroll_token(self, recorded: bool = True) -> None:
        """Enrolls a token that counts in place of the phone: 7 is the next counter. recorded: as
        root's record says, which is ahead of the line."""
        self.enroll()
        token = Token(self.user, self.credential.secret)
        token.enroll(counter=3 if recorded else 7)
        if recorded:
            self.write(self.root("counters"), f"pam-totp counters 1\n{self.identity} 6\n")

    def grant_once(self) -> None:
        now = int(time.time())
        self.write(
            self.root("grants"), f"pam-totp grant 1 {now - 60} {now + 1800} ONCE {self.user.name}\n"
        )

    @staticmethod
    def write(path: Path, content: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")
        path.chmod(0o600)

    def kept(self) -> Kept:
        return Kept(
            _read(self.home("secret")) or _read(self.system_secret),
            _read(self.home("recovery")),
            _read(self.record_path),
            self.root("enforced").exists(),
            _read(self.root("grants")),
            _read(self.root("used")),
            _read(self.root("counters")),
        )

    def gate(self) -> Ended:
        return run([GATE], self.variables)

    def verify(self, code: str) -> Ended:
        return run([VERIFY], self.variables, code.encode())


def is_whole_recovery_file(content: bytes) -> bool:
    return _RECOVERY.fullmatch(content.decode("ascii", "replace")) is not None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
