# SPDX-License-Identifier: MIT
"""The phone of somebody who enrolls at the login: reads the screen, shows codes."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.commands.commands import RECOVERY_CODE
from tests.enrollment.rasterise import DARK_THEME, Theme, rasterise
from tests.enrollment.test_qr import read_code
from tests.host.accounts import User
from tests.host.credentials import Credential

KEY = re.compile(r"Key: ((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})\b")
QR_LINE = re.compile(r"^[ █▀▄]{20,}$", re.MULTILINE)
SECRET_LINE = re.compile(r"(otpauth://totp/\S+\?secret=([A-Z2-7]{32})\S*) phone")
MESSAGE = "Scan a QR code with an authenticator app, or type in the key:"
NOT_ENROLLED = "A code is required, but you have not enrolled. Contact your administrator."
AT_LOGIN = "enrollment: at-login\n"


@dataclass
class Phone:
    """`type_code` answers a prompt of a dialogue by what stands on the screen."""

    user: User
    credential: Credential | None = None

    def type_code(self, screen: str) -> str:
        """The next code of the key that was shown last."""
        return self._scan(screen).fresh_code()

    def type_incorrect_code(self, screen: str) -> str:
        return self._scan(screen).incorrect_code()

    def _scan(self, screen: str) -> Credential:
        keys = keys_on(screen)
        assert keys, f"no key is shown:\n{screen}"
        if self.credential is None or self.credential.secret != keys[-1]:
            self.credential = Credential(self.user, keys[-1])
        return self.credential


def keys_on(screen: str) -> list[str]:
    """Every secret that is spelt out on a screen, oldest first."""
    return [key.replace(" ", "") for key in KEY.findall(screen)]


def shows_qr_code(screen: str) -> bool:
    return QR_LINE.search(screen.replace("\r", "")) is not None


def scan(screen: str, folder: Path, theme: Theme = DARK_THEME) -> str:
    """What a reader makes of the QR code on a screen; empty if it finds none."""
    lines = QR_LINE.findall(screen.replace("\r", ""))
    picture = rasterise("\n".join(lines), theme, 80, 24)
    return read_code(picture, folder / "screen.png")


def kept_uri(secret: Path) -> str:
    """The URI of the one credential in a secret file, as an app has it: without the time."""
    (found,) = SECRET_LINE.findall(secret.read_text(encoding="ascii"))
    return re.sub(r"&added=[0-9TZ]+", "", str(found[0]))


def recovery_codes_on(screen: str) -> list[str]:
    return RECOVERY_CODE.findall(screen.replace("\r", ""))
