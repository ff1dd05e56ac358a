"""What is wrong with the settings file, and which settings are active meanwhile."""

from pam_totp.records.config.settings import PATH, Settings, last_good
from pam_totp.rules.reasons import Failure


def fault_of(configured: Settings) -> str:
    """What is wrong with the settings file, and which settings are active; empty if nothing is."""
    if not configured.fault.startswith(PATH):
        return configured.fault
    active = "there were no good settings before, so the defaults are active"
    try:
        if last_good() is not None:
            active = "the last good settings are active"
    except (OSError, Failure, ValueError):
        active = "the last good settings cannot be read, so every user must enter a code"
    return f"{configured.fault}; {active}"
