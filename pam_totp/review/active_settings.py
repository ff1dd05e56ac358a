"""What is wrong with the settings file, and which settings are active meanwhile."""

from pam_totp.records.config import snapshot
from pam_totp.records.config.settings import PATH, Settings
from pam_totp.rules.reasons import Failure


def fault_of(configured: Settings) -> str:
    """What is wrong with the settings in force, and which these are; empty if nothing is."""
    if not configured.fault.startswith(PATH):
        return configured.fault
    held = "there were no good settings before: the defaults are in force"
    try:
        if snapshot.find("") is not None:
            held = "the last good settings are in force"
    except (OSError, Failure, ValueError):
        held = "the last good settings cannot be read: enrollment is required, else the defaults"
    return f"{configured.fault}; {held}"
