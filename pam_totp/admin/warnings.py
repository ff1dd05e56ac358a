"""What is allowed in the settings, and probably not meant: shown by `pam-totp config check`."""

from pam_totp.records.configuration import Content


def warnings_of(found: Content) -> list[str]:
    """One sentence a warning, with its place, in the file's order."""
    return []
