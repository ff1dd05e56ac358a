# SPDX-License-Identifier: MIT
"""Removing a user's secret files, as their owner. Never at a login."""

import os
from contextlib import ExitStack, suppress

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.secret_writer import GIT_IGNORE, Changed, content_of, open_locked
from pam_totp.rules.reasons import SECRET_UNSAFE


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


def remove_unchanged(secret_dir: SecretDir, files: list[tuple[str, bytes]]) -> None:
    """Removes files of the folder, if all are still what they were, or gone. Raises OSError,
    Failure or Changed."""
    with ExitStack() as until_removed:
        folder = open_locked(secret_dir, until_removed)
        for name, content in files:
            if content_of(folder, name, secret_dir) not in (content, None):
                raise Changed(SECRET_UNSAFE, f"{secret_dir.path}/{name} was changed meanwhile")
        for name, _ in files:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


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
