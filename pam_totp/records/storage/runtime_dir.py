"""Root's small files that matter for minutes, in /run/pam-totp/KIND/NAME: replaced whole. NAME is a
user id, mostly."""

import posix

from pam_totp.records.storage import state_dir
from pam_totp.records.storage.opened import Opened
from pam_totp.records.user.attempts import RUNTIME_DIR, open_folder

MAX_BYTES = 16 * 1024


def read(kind: str, name: object, most_bytes: int = MAX_BYTES) -> bytes | None:
    """The content of one file; None if it is not there. Raises OSError or Failure."""
    try:
        with Opened(_open(kind)) as folder:
            return state_dir.read_file(
                folder, str(name), f"{RUNTIME_DIR}/{kind}/{name}", most_bytes
            )
    except FileNotFoundError:
        return None


def write(kind: str, name: object, content: bytes) -> None:
    """Replaces one file. Raises OSError or Failure: then it is as it was."""
    posix.close(open_folder(RUNTIME_DIR))
    with Opened(open_folder(f"{RUNTIME_DIR}/{kind}")) as folder:
        state_dir.replace(folder, str(name), content)


def remove(kind: str, name: object) -> bool:
    """Removes one file; whether this call did it. Raises OSError or Failure."""
    try:
        with Opened(_open(kind)) as folder:
            return state_dir.remove(folder, str(name))
    except FileNotFoundError:
        return False


def _open(kind: str) -> int:
    return open_folder(f"{RUNTIME_DIR}/{kind}", make=False)
