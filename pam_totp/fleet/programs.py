# SPDX-License-Identifier: MIT
"""Running the programs of PostgreSQL and OpenSSL: each within a time, and with its own words where
it fails."""

import errno
import os
import subprocess
from collections.abc import Sequence

from pam_totp.errors import Error

MAX_SECONDS = 60.0
_OF_DISK = [os.strerror(each) for each in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)]
INSTALL = "apt-get install postgresql python3-psycopg"


def run(
    command: Sequence[str],
    hint: str,
    *,
    seconds: float = MAX_SECONDS,
    folder: str = "/",
    keeps: Sequence[int] = (),
) -> str:
    """What the program prints. hint: of the Error where it fails; keeps: descriptors that it and
    its children hold open. Raises Error with what it said.

    A server that it starts would hold a pipe open for ever, so what it says goes to a file, which
    is in memory: every disk may be full or read-only.
    """
    with open(os.memfd_create("said"), "w+b") as said:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=folder,
                timeout=seconds,
                pass_fds=keeps,
            )
        except FileNotFoundError:
            raise Error(f"there is no program {command[0]}", INSTALL) from None
        except OSError as failure:
            raise Error(f"{command[0]}: {failure.strerror}", hint) from None
        except subprocess.TimeoutExpired:
            message = f"{command[0]} did not end within {seconds:.0f} seconds"
            raise Error(message, hint) from None
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    if done.returncode:
        why = _reason_in(text) or f"exit code {done.returncode}"
        raise Error(f"{command[0]} failed: {why}", hint)
    return text


def _reason_in(text: str) -> str:
    """The last line with what the system says of a disk; or that says that it is an error; or the
    last line. A program that runs others says last which one of them failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    of_disk = [line for line in lines if any(each in line for each in _OF_DISK)]
    errors = [line for line in lines if "error:" in line.lower() or "FATAL:" in line]
    return next(reversed(of_disk or errors or lines), "")
