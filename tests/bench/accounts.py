# SPDX-License-Identifier: MIT
"""The bench's users, with the hash that a password gets on Debian, and one secret for all."""

import base64
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rounds import UnexpectedResult
from tests.host.accounts import User, add_user, run
from tests.host.credentials import Credential
from tests.host.programs import RECORDS

SHADOW = Path("/etc/shadow")
YESCRYPT = "$y$j9T$"  # crypt(5): yescrypt at its default cost, 5
OATH_USERS = Path("/etc/users.oath")


def add_user_as_debian_does() -> User:
    """The tests' own users have a hash that is checked twenty times as fast."""
    user = add_user()
    run("chpasswd", given=f"{user.name}:{user.password}\n")
    hashes = dict(line.split(":")[:2] for line in SHADOW.read_text(encoding="utf-8").splitlines())
    if not hashes[user.name].startswith(YESCRYPT):
        raise UnexpectedResult(f"the hash that chpasswd makes does not start with {YESCRYPT}")
    return user


@dataclass
class Account:
    """A user and the credential whose code answers. `google` is what pam_google_authenticator keeps
    in the home before the first login, None for users who have not enrolled anywhere; `records`
    is where the programs keep what matters for minutes, as this process sees it."""

    user: User
    credential: Credential
    google: str | None = None
    records: Path = RECORDS

    def forget_codes(self) -> None:
        """Nothing was used or tried before, for every product: the same code is right again."""
        (self.records / str(self.user.uid)).unlink(missing_ok=True)
        if self.google is not None:
            self.user.give(self.user.home / ".google_authenticator", self.google)

    def put_mark(self, is_there: bool) -> None:
        """Moves the mark of an earlier login to where the gate finds it, and so needs no
        interpreter, or away from there."""
        mark, away = (self.records / kind / self.user.name for kind in ("certain", "certain.away"))
        away.parent.mkdir(mode=0o700, exist_ok=True)
        source, target = (away, mark) if is_there else (mark, away)
        if source.exists():
            source.rename(target)


@dataclass
class OathAccount(Account):
    """Is in pam_oath's file as well, amid `others`."""

    others: int = 0

    def forget_codes(self) -> None:
        super().forget_codes()
        secret = base64.b32decode(self.credential.secret).hex()
        others = [f"HOTP/T30/6 other{number} - {secret}\n" for number in range(self.others)]
        half = len(others) // 2
        line = f"HOTP/T30/6 {self.user.name} - {secret}\n"
        OATH_USERS.write_text("".join([*others[:half], line, *others[half:]]), encoding="ascii")
        OATH_USERS.chmod(0o600)


def google_file(user: User, secret: str) -> str:
    """As google-authenticator makes it with the answers it recommends, but for the secret."""
    options = ["-t", "-d", "-f", "-r", "3", "-R", "30", "-w", "3", "-q"]
    made = user.run_as("/usr/bin/google-authenticator", *options)
    if made.returncode != 0:
        raise UnexpectedResult(f"google-authenticator: {made.stderr}")
    path = user.home / ".google_authenticator"
    _, rest = path.read_text(encoding="ascii").split("\n", 1)
    path.unlink()
    return f"{secret}\n{rest}"
