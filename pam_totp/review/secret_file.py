# SPDX-License-Identifier: MIT
"""What `pam-totp users` and `pam-totp status` say of one secret file: the same."""

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import secret
from pam_totp.rules.credential import Credential, parse_file

OF_ANOTHER_PROGRAM = (
    "in the format of google-authenticator, which a login cannot read; run: pam-totp enroll"
)


def look(secret_dir: SecretDir) -> tuple[bool | None, list[Credential], list[str]]:
    """Whether the user is enrolled (None: unknown, because of the faults), the credentials, and
    what is wrong. Raises Failure."""
    return judge(secret_dir.read(secret.NAME), f"{secret_dir.path}/{secret.NAME}")


def judge(content: bytes | None, path: str) -> tuple[bool | None, list[Credential], list[str]]:
    """The same, of what a login reads there."""
    if content is None:
        return False, [], []
    credentials, faults = parse_file(content)
    if not credentials:
        if is_of_google_authenticator(content):
            faults = [OF_ANOTHER_PROGRAM]
        faults = faults or ["no credential in the file"]
    return (True if credentials else None), credentials, [f"{path}: {each}" for each in faults]


def is_of_google_authenticator(content: bytes) -> bool:
    """Whether a file begins with a key, and then has options in that program's form."""
    lines = content.split(b"\n")
    return not lines[0].startswith(b"otpauth") and any(line.startswith(b'" ') for line in lines[1:])


def summary(faults: list[str]) -> str:
    """All faults in one cell of a table."""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""
