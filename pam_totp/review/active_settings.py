# SPDX-License-Identifier: MIT
"""What is wrong with the settings file, and which settings are active meanwhile."""

from pam_totp.records.config import way
from pam_totp.records.config.settings import PATH, Settings, last_good
from pam_totp.rules.reasons import Failure


def fault_of(active: Settings) -> str:
    """What is wrong with the settings file, and which settings are active; empty if nothing is."""
    if not active.fault:
        # A login looks at the way to the file only after the file has changed.
        return way_fault()
    if not active.fault.startswith(PATH):
        return active.fault
    which = "there were no good settings before, so the defaults are active"
    try:
        if last_good(keeps=False) is not None:
            which = "the last good settings are active"
    except (OSError, Failure, ValueError):
        which = "the last good settings cannot be read, so every user must enter a code"
    return f"{active.fault}; {which}"


def way_fault() -> str:
    """Why others than root can put another file in the place of the settings; empty if not."""
    try:
        fault = way.fault_of_the_way(PATH)
    except OSError:
        return ""  # a login that reads the file says so
    return f"{PATH}: {fault}" if fault else ""
