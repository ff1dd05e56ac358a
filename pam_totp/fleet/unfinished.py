# SPDX-License-Identifier: MIT
"""How far the making of a cluster is, so that the next command completes what a killed one began.

The record /var/lib/pam-totp/store/unfinished holds one word: `creating` while the cluster may be
there in part, `setting-up` while it is there and not all of the rest is. Without it, nothing is
unfinished.

- A cluster MUST be removed as half made only while the record says `creating`: nobody can have used
  it yet.
- Programs that make the cluster MUST hold the lock too: they outlive a command that is killed.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.fleet.cluster import NAME as CLUSTER
from pam_totp.records.storage.lock import lock
from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import Failure

KIND, NAME = "store", "unfinished"
CREATING, SETTING_UP = "creating", "setting-up"
_SECONDS_TO_LOCK = 60.0


@contextlib.contextmanager
def locked() -> Iterator[int]:
    """No other command makes or changes the cluster meanwhile. Yields the descriptor that holds the
    lock, also while a child of this process has it. Raises Error."""
    with _explained():
        folder = VAR.open(KIND, make=True)
    assert folder is not None
    try:
        if not lock(folder, _SECONDS_TO_LOCK):
            message = "another command is changing the store now"
            raise Error(f"{message}; nothing was changed", "run the command again")
        yield folder
    finally:
        os.close(folder)


def phase() -> str:
    """CREATING, SETTING_UP or an empty text. Raises Error."""
    with _explained():
        return (VAR.read(KIND, NAME) or b"").decode("ascii", "replace").strip()


def begin(what: str) -> None:
    """Records it, durably. Raises Error."""
    with _explained():
        VAR.write(KIND, NAME, f"{what}\n".encode())


def end() -> None:
    """Everything is done. Raises Error."""
    with _explained():
        VAR.remove(KIND, NAME)


def remove_half_made(version: str) -> None:
    """Removes what pg_createcluster left when it was killed. Raises Error unless the record says
    that it was at work."""
    if phase() != CREATING:
        raise Error(
            f"it is not known whether the cluster {CLUSTER} was made only in part", "pg_lsclusters"
        )
    for folder in ("/etc/postgresql", "/var/lib/postgresql"):
        shutil.rmtree(f"{folder}/{version}/{CLUSTER}", ignore_errors=True)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        raise Error(*repair.split(failure.detail, VAR.path)) from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), f"{VAR.path}/{KIND}")
        raise Error(f"{VAR.path}/{KIND}: {fault}", hint) from None
