# SPDX-License-Identifier: MIT
"""What counts for a while only: root's /run/pam-totp/KIND/UID, lines "TEXT SECONDS_SINCE_BOOT",
oldest first. KIND says what TEXT is.

- A stamp MUST count only for 0 <= now - t < `seconds`, on a clock that nobody can set.
"""

from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user.attempts import boot_seconds
from pam_totp.rules.reasons import Failure


def read(kind: str, uid: int, seconds: int) -> dict[str, int]:
    """The texts that still count, oldest first, and when each was stamped; none where one line is
    malformed, or the file is not root's."""
    now, found = boot_seconds(), {}
    try:
        content = (RUN.read(kind, uid) or b"").decode("utf-8", "surrogateescape")
        for line in content.split("\n")[:-1]:
            text, _, moment = line.rpartition(" ")
            if not moment.isdigit():
                return {}
            if 0 <= now - int(moment) < seconds:
                found[text] = int(moment)
    except (Failure, ValueError):
        return {}
    return found


def add(kind: str, uid: int, text: str, seconds: int, most: int) -> None:
    """Stamps a text; the oldest goes where there would be more than `most`. Raises OSError or
    Failure."""
    others = read(kind, uid, seconds)
    others.pop(text, None)
    latest = [*others.items(), (text, int(boot_seconds()))][-most:]
    lines = "".join(f"{each} {moment}\n" for each, moment in latest)
    RUN.write(kind, uid, lines.encode("utf-8", "surrogateescape"))
