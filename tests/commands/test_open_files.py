# SPDX-License-Identifier: MIT
"""Files with secrets that a command is told to read: it says if other users can read them, too."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User

FOLDER = Path("/srv/handed-over")
KEY = "3132333435363738393031323334353637383930"
URI = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
# Of each command: what the file holds, and the words before its name.
COMMANDS = {
    "oath": (f"HOTP/T30/6 USER - {KEY}\n", ["import", "oath"]),
    "otpauth": (f"{URI}\n", ["import", "otpauth", "--user", "USER"]),
    "seeds": (f"serial,seed\n1,{KEY}\n", ["import", "seeds"]),
    "key": (f"{KEY}\n", ["enroll", "--user", "USER", "--token", "--key-file"]),
    "migrate": ("{}", ["migrate", "--fleet", "--from"]),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    FOLDER.mkdir(0o755)
    yield FOLDER
    shutil.rmtree(FOLDER)


@pytest.mark.parametrize(
    ("mode", "group", "folder_mode", "is_warned"),
    [
        (0o644, 0, 0o755, True),
        (0o604, 0, 0o755, True),
        (0o640, 100, 0o755, True),
        (0o640, 0, 0o755, False),
        (0o600, 0, 0o755, False),
        (0o644, 0, 0o700, False),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_file_of_secrets_that_others_can_read_is_told(
    user: User, folder: Path, command: str, mode: int, group: int, folder_mode: int, is_warned: bool
) -> None:
    content, words = COMMANDS[command]
    path = folder / "file"
    path.write_text(content.replace("USER", user.name))
    os.chown(path, 0, group)
    path.chmod(mode)
    folder.chmod(folder_mode)
    done = pam_totp(*(each.replace("USER", user.name) for each in words), str(path))
    said = f"pam-totp: warning: {path} can be read by other users (mode {mode:04o}), who may"
    assert (said in done.errors) is is_warned, done
    assert ("enroll anew" in done.errors) is is_warned
