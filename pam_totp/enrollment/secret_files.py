# SPDX-License-Identifier: MIT
"""Removing the secret files of one user, whatever lies at their names."""

import os
import pwd

from pam_totp import repair
from pam_totp.errors import Error, quoted
from pam_totp.records.storage import secret_removal
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery, secret
from pam_totp.rules.reasons import Failure


def remove_secrets(
    account: pwd.struct_passwd, store: str, removed: list[str], _kept: list[str]
) -> None:
    """Adds the paths of what was removed. Raises Error, Failure or OSError."""
    for name in (secret.NAME, recovery.NAME):
        if _remove_secret_file(SecretDir(account, store), name):
            removed.append(f"{SecretDir(account, store).path}/{name}")
    # An empty folder that others can write to would not prove "not enrolled".
    secret_removal.remove_empty_folder(SecretDir(account, store))


def _remove_secret_file(secret_dir: SecretDir, name: str) -> bool:
    path = f"{secret_dir.path}/{name}"
    try:
        return secret_removal.remove(secret_dir, name)
    except IsADirectoryError:
        return _remove_folder(secret_dir, path)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), secret_dir.path)
        raise Error(f"{path}: {fault}", hint) from None
    except Failure:
        if os.path.lexists(os.path.dirname(os.path.dirname(secret_dir.path))):
            raise
        return False  # no home or no store, so no secret in it


def _remove_folder(secret_dir: SecretDir, path: str) -> bool:
    """Removes a folder where a secret file should be, as its owner, if it is empty: what it may
    hold is not ours."""
    try:
        with secret_dir.acting:
            os.rmdir(path)
    except OSError:
        raise Error(f"{path} is a folder that is not empty", f"rm -r {quoted(path)}") from None
    return True
