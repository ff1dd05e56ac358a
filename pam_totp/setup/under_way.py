# SPDX-License-Identifier: MIT
"""Whether a change is under way: a look that every command of root's takes, so it loads little."""

import os

from pam_totp.records.storage.state_dir import VAR

KIND = "changes"
FOLDER = f"{VAR.path}/{KIND}"
CURRENT = "current"


def has_current() -> bool:
    """Whether there is a change that nobody has kept or taken back, as far as can be seen."""
    return os.path.exists(f"{FOLDER}/{CURRENT}")
