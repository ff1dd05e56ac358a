# SPDX-License-Identifier: MIT
"""Removing a user's secret files, as their owner. Never at a login."""

import os

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.secret_writer import GIT_IGNORE


def remove(secret_dir: SecretDir, name: str) -> bool:
    """Removes one file of the folder; whether it was there. Raises OSError or Failure."""
    secret_dir.acting.all_groups = True
    with secret_dir.acting:
        folder = secret_dir.open(even_if_unsafe=True)
        if folder is None:
            return False
        try:
            os.unlink(name, dir_fd=folder)
            return True
        except FileNotFoundError:
            return False
        finally:
            os.close(folder)


def remove_empty_folder(secret_dir: SecretDir) -> None:
    """Removes the folder if nothing is left in it but our .gitignore."""
    secret_dir.acting.all_groups = True
    with secret_dir.acting:
        try:
            if os.listdir(secret_dir.path) == [GIT_IGNORE]:
                os.unlink(f"{secret_dir.path}/{GIT_IGNORE}")
            os.rmdir(secret_dir.path)
        except OSError:
            pass  # something is in it, of the user's or of another command, or it is not there
