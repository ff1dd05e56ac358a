"""The secret file: one credential a line. Never written at login."""

from pam_totp.records.storage.secret_dir import SECRET, SecretDir
from pam_totp.rules.credential import Credential, parse_file
from pam_totp.rules.reasons import SECRET_MALFORMED, Failure

NAME = SECRET
HEADER = "# pam-totp: one credential a line, an otpauth URI and then the device's name.\n"


def read(place: SecretDir) -> list[Credential] | None:
    """The credentials there, at least one; None if the account is proven not to be enrolled.

    Raises Failure for everything else.
    """
    content = place.read(NAME)
    if content is None:
        return None
    credentials, faults = parse_file(content)
    if not credentials:
        raise Failure(SECRET_MALFORMED, faults[0] if faults else "no credential in the file")
    return credentials
