# SPDX-License-Identifier: MIT
"""A code of a user who is not enrolled in the store of a fleet. At hosts where users may enroll
at their login, a code of the secret that was shown there enrolls them.

- A user who has logged in here with a code MUST NOT enroll until the store says that the user was
  reset: otherwise everyone who has the password could.

Runs only for users who are not enrolled.
"""

import pwd

from pam_totp.access import in_fleet
from pam_totp.access.decision import ELSEWHERE, MISSING, UNENROLLED
from pam_totp.records import fleet
from pam_totp.records.config.settings import Settings
from pam_totp.records.user import enforced, recovery
from pam_totp.rules import reasons
from pam_totp.rules.request import Request
from pam_totp.rules.verdict import Verdict

DEVICE = "phone"
DETAILS = {
    MISSING: "logged in here with a code before, and the store does not know this user",
    ELSEWHERE: "the secret is still on this host, and not in the store",
}


def enroll_in_fleet(
    request: Request, user: pwd.struct_passwd, code: str, settings: Settings
) -> Verdict:
    """The verdict on a code of the app. Raises OSError or Failure."""
    state, _ = in_fleet.look(user, is_enforced=enforced.is_set(user.pw_uid))
    message = settings.message("not_enrolled")
    if state in DETAILS:
        reason, detail = reasons.SECRET_MISSING, DETAILS[state]
        return Verdict(accepted=False, reason=reason, detail=detail, message=message)
    if state != UNENROLLED or not settings.enrollment.enrolls_at(request.service):
        return Verdict(accepted=False, reason=reasons.NOT_ENROLLED, message=message)
    answer = fleet.enroll_confirm(user.pw_name, "", code)
    if not answer.confirmed:
        detail = "compared with the secrets that were shown at this host in the last 10 minutes"
        return Verdict(accepted=False, reason=answer.reason, detail=detail)
    return Verdict(
        accepted=True,
        reason=reasons.TOTP,
        device=DEVICE,
        detail="enrolled at this login",
        message=recovery.describe(answer.recovery_codes),
    )
