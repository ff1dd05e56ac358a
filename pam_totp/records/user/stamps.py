# SPDX-License-Identifier: MIT
"""What counts for a while only: root's /run/pam-totp/KIND/UID, or another name than that of a
user, lines "TEXT SECONDS_SINCE_BOOT", oldest first. KIND says what TEXT is.

- A stamp MUST count only for 0 <= now - t < `seconds`, on a clock that nobody can set.
"""

from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user.attempts import boot_seconds
from pam_totp.rules.reasons import Failure


def read(kind: str, uid: object, seconds: int) -> dict[str, int]:
    """The texts that still count, oldest first, and when each was stamped; none where one line is
    malformed, or the file is not root's."""
    try:
        return valid(RUN.read(kind, uid), seconds)
    except (Failure, ValueError):
        return {}


def valid(content: bytes | None, seconds: int) -> dict[str, int]:
    """As above, of the content of such a file. Raises ValueError where it is malformed."""
    now, found = boot_seconds(), {}
    for line in (content or b"").decode("utf-8", "surrogateescape").split("\n")[:-1]:
        text, _, moment = line.rpartition(" ")
        if not moment.isdigit():
            raise ValueError
        if 0 <= now - int(moment) < seconds:
            found[text] = int(moment)
    return found


def add(kind: str, uid: object, text: str, seconds: int, most: int) -> None:
    """Stamps a text; the oldest goes where there would be more than `most`. Raises OSError or
    Failure."""
    others = {each: moment for each, moment in read(kind, uid, seconds).items() if each != text}
    latest = [*others.items(), (text, int(boot_seconds()))][-most:]
    lines = "".join(f"{each} {moment}\n" for each, moment in latest)
    RUN.write(kind, uid, lines.encode("utf-8", "surrogateescape"))
