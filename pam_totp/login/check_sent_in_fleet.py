# SPDX-License-Identifier: MIT
"""As pam_totp.login.check_sent_code, with the store of a fleet: the code is compared here, and the
try is counted there.

- The store MUST have counted the try before the code is compared, together with all others of the
  user: else each host would be a throttle of its own. Without its answer no such code is accepted.
- Only the try of a code that was right MUST be taken back. One that may be the app's code goes to
  the store in place of what was counted, so an answer counts once.

Where this process is killed in between, the try stays counted.
"""

import pwd
from contextlib import closing

from pam_totp.access.facts import rule_for
from pam_totp.login.become import become
from pam_totp.login.check_in_fleet import check_in_fleet, message_of_wait, without_the_store
from pam_totp.login.check_sent_code import GONE, INCORRECT, accept, read_answer
from pam_totp.records import fleet, fleet_of_sent
from pam_totp.records.config.settings import Settings
from pam_totp.records.user import enforced, sent
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules import reasons
from pam_totp.rules.policy import SENT
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.verdict import Verdict


def check_sent_in_fleet(
    request: Request, user: pwd.struct_passwd, typed: bytes, settings: Settings
) -> Verdict:
    """The verdict on what was typed. Raises OSError or Failure. Where a code is to be sent, this
    process goes on as `send-code`."""
    login, (answer, is_code) = sent.login_of(request, user), read_answer(typed)
    fleet.take_early_check(request.user, answer, request.service, request.rhost)
    accepted = rule_for(request, user, settings).methods
    of_login = sent.read(user.pw_uid).get(login)
    if of_login is not None and answer in SENT:
        become(request, "send-code", answer)
    if not is_code or of_login is None or of_login.kind not in accepted:
        return check_others(request, user, typed, settings)
    try:
        counted = fleet_of_sent.count(user.pw_name, request.service, request.rhost)
    except Failure as failure:
        if failure.reason != reasons.STORE_UNAVAILABLE:
            raise
        return without_the_store(answer, failure.detail)
    if counted.refusal:
        seconds = counted.wait_seconds
        message = message_of_wait(counted.refusal, seconds, settings)
        detail = f"{seconds} s to wait"
        return Verdict(accepted=False, reason=counted.refusal, detail=detail, message=message)
    kind = use_up(user, login, answer, accepted)
    if kind:
        return accept(user, kind, take_back(user, counted.ticket), has_app=counted.enrolled)
    if counted.enrolled:
        return check_in_fleet(request, user, typed, settings, counted.ticket)
    return Verdict(accepted=False, reason=reasons.WRONG_CODE, detail=INCORRECT)


def use_up(user: pwd.struct_passwd, login: str, answer: str, accepted: tuple[str, ...]) -> str:
    """Of which kind the code is, which counts no more then; empty for another one. Raises OSError
    or Failure."""
    with closing(Attempts(user.pw_uid)):
        of_login = sent.read(user.pw_uid).get(login)  # as it is under the lock
        if of_login is None or of_login.kind not in accepted or not of_login.is_code(answer):
            return ""
        sent.use_up(user.pw_uid, login)
        return of_login.kind


def take_back(user: pwd.struct_passwd, ticket: str) -> str:
    """Takes the try back; what failed, which refuses nobody."""
    try:
        fleet_of_sent.take_back(ticket, user.pw_name)
    except Failure as failure:
        return f"this login stays counted as an incorrect code: {failure.detail}"
    return ""


def check_others(
    request: Request, user: pwd.struct_passwd, typed: bytes, settings: Settings
) -> Verdict:
    """The verdict on what is no code that was sent for this login. Raises OSError or Failure."""
    verdict = check_in_fleet(request, user, typed, settings)
    is_unknown = verdict.reason == reasons.NOT_ENROLLED
    if verdict.reason == reasons.SECRET_MISSING:
        is_unknown = enforced.is_only_sent(user.pw_uid)
    if is_unknown:  # but can be sent codes
        return Verdict(accepted=False, reason=reasons.WRONG_CODE, detail=GONE)
    return verdict
