# SPDX-License-Identifier: MIT
"""Outage codes: the way into this host while the store of a fleet does not answer.

`pam-totp store join` makes them for the host, not for a person. The file /var/lib/pam-totp/outage/
codes holds the line "pam-totp outage 1 SALT" (16 bytes in hex), then one hash a line, as those of
recovery codes (pam_totp.records.user.recovery). A used code is a file beside it, empty and named by
the hash.

- A code MUST be recorded as used, on the disk, before it is accepted: of two logins at once, one
  makes the file.
- Who asks MUST know that the store did not answer this very login. While it answers, none is good.
"""

import posix
from _operator import _compare_digest

from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user.recovery import SALT_BYTES, hash_code
from pam_totp.records.user.recovery import new_codes as new_recovery_codes
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure

KIND, NAME = "outage", "codes"
HOW_MANY = 5
HEADER = "pam-totp outage 1"


def new_codes() -> list[str]:
    """Fresh codes in place of all earlier ones, as they are hashed (16 characters). Raises OSError
    or Failure."""
    codes, salt = new_recovery_codes()[:HOW_MANY], posix.urandom(SALT_BYTES)
    hashes = [hash_code(code, salt) for code in codes]
    VAR.write(KIND, NAME, "\n".join([f"{HEADER} {salt.hex()}", *hashes, ""]).encode("ascii"))
    _forget_used()
    return codes


def left() -> int:
    """How many codes are not used yet; 0 without any. Raises OSError or Failure."""
    _, hashes = _read()
    return sum(VAR.read(KIND, each) is None for each in hashes)


def use_up(code: str) -> bool:
    """Whether it is a code that was not used yet; from then on it is. Raises OSError or Failure if
    that cannot be recorded."""
    salt, hashes = _read()
    digest = hash_code(code, salt)
    if not sum([_compare_digest(digest, known) for known in hashes]):
        return False
    folder = VAR.open(KIND)
    assert folder is not None
    with Opened(folder):
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        try:
            posix.close(posix.open(digest, flags, 0o600, dir_fd=folder))
        except FileExistsError:
            return False
        posix.fsync(folder)
    return True


def _forget_used() -> None:
    """Removes what says that earlier codes were used, which have another salt."""
    _, hashes = _read()
    folder = VAR.open(KIND)
    if folder is None:
        return
    with Opened(folder):
        for name in posix.listdir(folder):
            if name != NAME and name not in hashes:
                posix.unlink(name, dir_fd=folder)


def _read() -> tuple[bytes, list[str]]:
    """The salt and the hashes, none without codes. Raises Failure."""
    content = VAR.read(KIND, NAME)
    if content is None:
        return b"", []
    try:
        header, *hashes = content.decode("ascii").split("\n")
        title, _, salt = header.rpartition(" ")
        is_ours = title == HEADER and not hashes.pop()
        if not is_ours or any(len(bytes.fromhex(each)) != 32 for each in hashes):
            raise ValueError("another format")
        return bytes.fromhex(salt), hashes
    except (ValueError, IndexError):
        path = f"{VAR.path}/{KIND}/{NAME}"
        raise Failure(STATE_UNAVAILABLE, f"{path} is malformed; run: rm {path}") from None
