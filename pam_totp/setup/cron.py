# SPDX-License-Identifier: MIT
"""What takes a trial back where systemd does not run: a line for cron, there as long as the trial.

Once a minute it looks whether the command and its watcher are gone, after a restart too.
"""

import contextlib
import os

from pam_totp.records.storage.state_dir import write
from pam_totp.setup import journal

FOLDER, NAME = "/etc/cron.d", "pam-totp-trial"
# cron reads no file whose name has a dot.
_TEMPORARY = f".{NAME}"


def begin(program: str) -> None:
    """Writes it, if there is a cron. Raises OSError."""
    if not os.path.isdir(FOLDER):
        return
    end()
    folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        line = f"# A trial of pam-totp is running: see pam-totp(1).\n* * * * * root {program}\n"
        write(folder, _TEMPORARY, line.encode())
        os.chmod(_TEMPORARY, 0o644, dir_fd=folder)
        os.rename(_TEMPORARY, NAME, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
    journal.sync(FOLDER)


def end() -> None:
    """Removes it; what is left of it finds nothing to do."""
    for name in (NAME, _TEMPORARY):
        with contextlib.suppress(OSError):
            os.unlink(f"{FOLDER}/{name}")
