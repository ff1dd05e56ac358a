# SPDX-License-Identifier: MIT
"""Users of other programs: google-authenticator's by its own command, pam_oath's by hand. Their
codes come from oathtool."""

import subprocess
from pathlib import Path

from tests.host.accounts import User
from tests.host.credentials import STEP_SECONDS, Credential

GOOGLE_LINE = "auth required pam_google_authenticator.so nullok"
OATH_USERS = Path("/etc/users.oath")


def oathtool(*arguments: str) -> str:
    done = subprocess.run(["oathtool", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class OathCredential(Credential):
    """A credential whose codes oathtool makes. `period`: seconds of a code; `digits`: of a code."""

    period, digits = STEP_SECONDS, 6

    def code_of(self, step: int) -> str:
        return oathtool("--hotp", "-b", "-c", str(step), "-d", str(self.digits), self.secret)

    @property
    def hexadecimal(self) -> str:
        return oathtool("-v", "-b", self.secret).split("Hex secret: ")[1].split()[0]


def google_file(user: User) -> Path:
    return user.home / ".google_authenticator"


def enroll_with_google(user: User, *flags: str) -> OathCredential:
    """As the user does, with the real command; without flags as it recommends."""
    flags = flags or ("-t", "-d", "-r", "3", "-R", "30", "-w", "3")
    command = ["/usr/bin/google-authenticator", *flags, "-f", "-q", "-C", "-Q", "NONE"]
    made = user.run_as(*command)
    assert made.returncode == 0, made.stderr
    return OathCredential(user, google_file(user).read_text(encoding="ascii").split("\n")[0])


def scratch_codes(user: User) -> list[str]:
    lines = google_file(user).read_text(encoding="ascii").split("\n")
    return [line for line in lines[1:] if line.isdigit()]
