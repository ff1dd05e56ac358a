# SPDX-License-Identifier: MIT
"""What is wrong with the settings file, and which settings are active meanwhile."""

from pam_totp.records.config.settings import PATH, Settings, last_good
from pam_totp.rules.reasons import Failure


def fault_of(active: Settings) -> str:
    """What is wrong with the settings file, and which settings are active; empty if nothing is."""
    if not active.fault.startswith(PATH):
        return active.fault
    which = "there were no good settings before, so the defaults are active"
    try:
        if last_good() is not None:
            which = "the last good settings are active"
    except (OSError, Failure, ValueError):
        which = "the last good settings cannot be read, so every user must enter a code"
    return f"{active.fault}; {which}"
