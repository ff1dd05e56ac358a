"""Root's small files that matter for minutes, in /run/pam-totp/KIND/NAME: replaced whole. NAME is a
user id, mostly."""

import posix

from pam_totp.records import durable
from pam_totp.records.attempts import FOLDER, open_folder
from pam_totp.rules.refusal import STATE_UNAVAILABLE, Refused

MOST_BYTES = 16 * 1024


def read(kind: str, name: object, most_bytes: int = MOST_BYTES) -> bytes | None:
    """The content of one file; None if it is not there. Raises OSError or Refused."""
    try:
        folder = _open(kind)
        try:
            return durable.read_file(folder, str(name), f"{FOLDER}/{kind}/{name}", most_bytes)
        finally:
            posix.close(folder)
    except FileNotFoundError:
        return None


def write(kind: str, name: object, content: bytes) -> None:
    """Replaces one file. Raises OSError or Refused: then it is as it was."""
    posix.close(open_folder(FOLDER))
    posix.close(open_folder(f"{FOLDER}/{kind}"))
    folder = _open(kind)
    try:
        durable.replace(folder, str(name), content)
    finally:
        posix.close(folder)


def remove(kind: str, name: object) -> bool:
    """Removes one file; whether this call did it. Raises OSError or Refused."""
    try:
        folder = _open(kind)
    except FileNotFoundError:
        return False
    try:
        return durable.remove(folder, str(name))
    finally:
        posix.close(folder)


def _open(kind: str) -> int:
    flags = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
    folder = posix.open(f"{FOLDER}/{kind}", flags)
    status = posix.fstat(folder)
    if status.st_uid != 0 or status.st_mode & 0o022:
        posix.close(folder)
        raise Refused(STATE_UNAVAILABLE, f"{FOLDER}/{kind} is not root's alone to write")
    return folder
