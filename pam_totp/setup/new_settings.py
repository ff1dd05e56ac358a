# SPDX-License-Identifier: MIT
"""A settings file where there is none: whole or not at all, and nobody's is replaced."""

import os

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.config.settings import PATH
from pam_totp.records.storage.state_dir import replace_all

MODE = 0o644  # logins of screen lockers read it as their user


def write(text: str) -> None:
    """Raises Error, also where there is one."""
    folder, name = os.path.split(PATH)
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:

            def prove(temporary: str, name: str) -> None:
                os.chmod(temporary, MODE, dir_fd=opened)
                if os.path.lexists(PATH):
                    raise Error(f"{PATH} exists; nothing was changed", "pam-totp config check")

            replace_all(opened, [(name, text.encode())], prove)
        finally:
            os.close(opened)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), PATH)
        raise Error(f"{PATH} cannot be written: {fault}; nothing was changed", hint) from None
