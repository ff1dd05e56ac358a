# SPDX-License-Identifier: MIT
"""The verdict of the store of a fleet on a code (`store: postgresql`).

- Only what the store has said to this very code MUST accept it; without an answer, an outage code
  of this host.

Imported only with that setting.
"""

import posix
import pwd
import time

from pam_totp.records import fleet
from pam_totp.records.config.settings import Settings
from pam_totp.rules import reasons
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.typed_code import RECOVERY_CHARACTERS, read_code
from pam_totp.rules.verdict import Verdict

FEW_RECOVERY_CODES = 3
MAX_DELAY_SECONDS = 8


def check_in_fleet(
    request: Request, user: pwd.struct_passwd, typed: bytes, settings: Settings, *counted: str
) -> Verdict:
    """The verdict on what was typed; `counted`: the ticket of a try that this one is (see
    check_sent_in_fleet). Raises OSError or Failure."""
    if posix.geteuid() != 0:
        detail = "only root may ask the store for a code, and this login does not run as root"
        raise Failure(reasons.STATE_UNAVAILABLE, detail)
    code = read_code(typed, allow_recovery=True)
    fleet.take_early_check(request.user, code, request.service, request.rhost)
    try:
        checked = fleet.check(user.pw_name, code, request.service, request.rhost, *counted)
    except Failure as failure:
        if failure.reason != reasons.STORE_UNAVAILABLE:
            raise
        return without_the_store(code, failure.detail)
    if checked.reason == reasons.NOT_ENROLLED:
        from pam_totp.login.enroll_in_fleet import enroll_in_fleet  # hardly any login enrolls

        return enroll_in_fleet(request, user, code, settings)
    if checked.reason == reasons.WRONG_CODE:  # a recovery code: those after many in a row are slow
        time.sleep(min(checked.wait_seconds, MAX_DELAY_SECONDS))
    return Verdict(
        accepted=checked.accepted,
        reason=checked.reason,
        device=checked.device,
        detail=checked.detail,
        message=message_of(checked, settings),
    )


def without_the_store(code: str, why: str) -> Verdict:
    """The verdict if the store did not answer. An outage code has the form of a recovery code.
    Raises OSError or Failure."""
    if len(code) == RECOVERY_CHARACTERS:
        from pam_totp.records.host import outage  # few logins have one

        if outage.use_up(code):
            detail = f"outage codes left: {outage.left()}; {why}"
            return Verdict(accepted=True, reason=reasons.OUTAGE_CODE, detail=detail)
    from pam_totp.access.in_fleet import AWAY  # few logins say so

    return Verdict(accepted=False, reason=reasons.STORE_UNAVAILABLE, detail=why, message=AWAY)


def message_of(checked: fleet.Checked, settings: Settings) -> str:
    """What the user is told beside the yes or no."""
    if checked.reason == reasons.RECOVERY_CODE:
        message = f"{checked.recovery_left} recovery code{'s' * (checked.recovery_left != 1)} left."
        if checked.recovery_left <= FEW_RECOVERY_CODES:
            message += " For new ones, contact your administrator."
        return message
    if checked.reason == reasons.STORE_PROMOTED:
        return "Another server now checks codes. Wait for the next code but one."
    return message_of_wait(checked.reason, checked.wait_seconds, settings)


def message_of_wait(reason: str, seconds: int, settings: Settings) -> str:
    """What the user is told where no code is compared now."""
    if reason == reasons.HOST_THROTTLED:
        return "Too many codes were tried on this host. Try again in a minute."
    return settings.message("wait", seconds=seconds) if reason == reasons.THROTTLED else ""
