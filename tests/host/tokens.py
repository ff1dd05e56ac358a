# SPDX-License-Identifier: MIT
"""A hardware token that counts (HOTP): its line, and its codes from Debian's pyotp."""

import hashlib
import re
from base64 import b32decode
from pathlib import Path

import pyotp
import pytest

from tests.host.accounts import User
from tests.host.programs import STATE

RECORD = re.compile(r"pam-totp counters 1\n((?:[0-9a-f]{32} [0-9]+\n)+)")
DISTINCT_CODES = 300


def new_secret() -> str:
    """A random secret that shows no code twice among its first ones, which tests use."""
    while True:
        secret = pyotp.random_base32()
        generator = pyotp.HOTP(secret)
        shown = [generator.at(counter) for counter in range(DISTINCT_CODES)]
        if len(set(shown)) == len(shown):
            return secret


class Token:
    """One token of one user."""

    def __init__(self, user: User, secret: str = "") -> None:
        self.user = user
        self.secret = secret or new_secret()
        self._generator = pyotp.HOTP(self.secret)

    def code(self, counter: int) -> str:
        return str(self._generator.at(counter))

    def line(self, counter: int = 0, device: str = "token") -> str:
        label = f"server:{self.user.name}@server"
        parameters = f"secret={self.secret}&counter={counter}&issuer=server"
        return f"otpauth://hotp/{label}?{parameters} {device}\n"

    def enroll(self, counter: int = 0, more: str = "") -> None:
        """Writes the user's secret file with this token, and what else it shall hold."""
        self.user.give(self.secret_file, self.line(counter) + more)

    @property
    def secret_file(self) -> Path:
        return self.user.home / ".config" / "pam-totp" / "secret"

    @property
    def identity(self) -> str:
        key = b32decode(self.secret)
        return hashlib.sha256(b"pam-totp credential 1\0" + key).hexdigest()[:32]

    @property
    def record(self) -> Path:
        return STATE / "counters" / str(self.user.uid)

    def recorded(self) -> int | None:
        """The last accepted counter, as root has it."""
        if not self.record.exists():
            return None
        found = RECORD.fullmatch(self.record.read_text(encoding="ascii"))
        assert found is not None, "a malformed record"
        lines = dict(line.split() for line in found[1].splitlines())
        return int(lines[self.identity]) if self.identity in lines else None

    def incorrect_code(self) -> str:
        """A code of no counter that a login looks at."""
        near = {self.code(counter) for counter in range(DISTINCT_CODES)}
        return next(code for number in range(10**6) if (code := f"{number:06d}") not in near)


@pytest.fixture
def token(user: User) -> Token:
    """The one of `user`, who is enrolled with it alone; 0 is its next counter."""
    made = Token(user)
    made.enroll()
    return made
