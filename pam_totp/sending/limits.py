# SPDX-License-Identifier: MIT
"""How many codes are sent: to one user, so that nobody is flooded, and by this host, so that nobody
runs up a bill. Stamps (pam_totp.records.user.stamps), which a reboot forgets.

- A code MUST be counted before it is sent, whatever becomes of it.
- Where it cannot be known how many were sent, none MUST be sent.
"""

from secrets import token_hex

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.lock import lock
from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user import stamps
from pam_totp.rules.reasons import SEND_LIMIT, STATE_UNAVAILABLE, Failure

KIND, HOST = "sendings", "host"
HOUR_SECONDS, DAY_SECONDS = 3600, 86400
HOURS_A_DAY = 3  # of one user's limit
SECONDS_TO_LOCK = 2.0


def count(uid: int, settings: Settings) -> None:
    """Counts one code to this user. Raises Failure where that would be too many, and OSError."""
    of_user, of_host = (int(settings.values[f"send.{whose}_limit"]) for whose in ("user", "host"))
    folder = RUN.open(KIND, make=True)
    assert folder is not None
    with Opened(folder):
        if not lock(folder, SECONDS_TO_LOCK):
            raise Failure(STATE_UNAVAILABLE, f"{RUN.path}/{KIND} is locked")
        _refuse_over(uid, HOUR_SECONDS, of_user, "to this user in an hour")
        _refuse_over(uid, DAY_SECONDS, of_user * HOURS_A_DAY, "to this user in a day")
        _refuse_over(HOST, HOUR_SECONDS, of_host, "by this host in an hour")
        stamp = token_hex(4)
        stamps.add(KIND, uid, stamp, DAY_SECONDS, of_user * HOURS_A_DAY)
        stamps.add(KIND, HOST, stamp, HOUR_SECONDS, of_host)


def _refuse_over(whose: object, seconds: int, limit: int, what: str) -> None:
    try:
        found = stamps.valid(RUN.read(KIND, whose), seconds)
    except ValueError:
        path = f"{RUN.path}/{KIND}/{whose}"
        raise Failure(STATE_UNAVAILABLE, f"{path} is malformed; run: rm {path}") from None
    if len(found) >= limit:
        raise Failure(SEND_LIMIT, f"the limit of codes {what} is reached ({limit})")
