# SPDX-License-Identifier: MIT
"""What becomes of one login: the decision, and the facts that it rests on."""

import os
import pwd
import time
from typing import Any

from pam_totp.access.decision import (
    ELSEWHERE,
    ENROLL,
    ENROLLED,
    LET_THROUGH,
    MISSING,
    UNENROLLED,
    Decision,
    decide,
)
from pam_totp.access.facts import Facts, gather_facts
from pam_totp.records import fleet
from pam_totp.records.config import settings
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import contacts, grant
from pam_totp.review.active_settings import fault_of
from pam_totp.review.explanation import rule_as_text
from pam_totp.review.sent_codes import codes_sent
from pam_totp.review.user_row import fault_of_home, told
from pam_totp.rules.enrollment import AT_LOGIN
from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import whole_seconds

ASKED = "a code is asked for"
NOT_ENROLLED = "refused: a code is required, but the user has not enrolled"
QR_CODE = "a QR code is shown at the login, for enrolling there"
_HAS_CONTACT = (
    "refused: the rule accepts no code that is sent to the user's contact, and a user who has one "
    "is shown no QR code; run: pam-totp enroll"
)
_MISSING = "refused: the secret is missing here (removed, or still in the other store)"
_LEFT_BEHIND = "refused: a secret is still on this host and not in the store of the fleet"
_MISSING_IN_FLEET = "refused: has logged in with a code here, but is not enrolled in the fleet"


def describe(request: Request, active: settings.Settings) -> dict[str, Any]:
    """The decision and its facts, as `pam-totp explain --json` prints them. Raises Failure where
    there is no such user."""
    now = time.time()
    facts = gather_facts(request, active, now, complete=True)
    decision = decide(facts, active.enrollment, request.service, now)
    enrolled, secret_fault = _enrolled(facts, active)
    has_app = enrolled is True
    if has_app and facts.sent_by and active.store == settings.FLEET:  # by a contact, perhaps
        has_app = fleet.standing(facts.user.pw_name).state == fleet.ENROLLED
    if facts.sent_by and facts.state == ENROLLED:
        enrolled = True  # by a contact, if not by an app
    outcome = _outcome(facts, decision, enrolled, secret_fault, active)
    if outcome == NOT_ENROLLED and active.enrollment.mode == AT_LOGIN:
        outcome += f"; {request.service} is not in enrollment_services, so no QR code is shown"
    faults = (
        facts.fault,
        secret_fault,
        facts.grant_fault,
        facts.wait_fault,
        fault_of(active),
        _grant_fault(facts),
        _run_fault(facts.user.pw_uid),
    )
    said = [told(each, facts.user) for each in faults if each]
    return {
        "user": facts.user.pw_name,
        "needs_code": decision.action != LET_THROUGH,
        "reason": decision.reason,
        "outcome": outcome,
        "rule": rule_as_text(facts.rule, active),
        "rule_line": facts.rule.line or None,
        "rule_code": facts.rule.code,
        "enrollment_mode": active.enrollment.mode,
        "days_left_to_enroll": decision.days or None,
        "enrolled": enrolled,
        "methods": list(facts.rule.methods),
        "codes_sent": codes_sent(facts, has_app=has_app) if outcome != QR_CODE else [],
        "has_used_code": facts.is_enforced,
        "granted_until": facts.grant.until if facts.grant else None,
        "granted_once": facts.grant is not None and facts.grant.once,
        "waiting_seconds": whole_seconds(facts.wait),
        # A stamp is bound to the secret, which no host of a fleet has.
        "remember_seconds": 0 if active.store == settings.FLEET else active.remember_seconds,
        "faults": list(dict.fromkeys(said)),
    }


def _enrolled(facts: Facts, active: settings.Settings) -> tuple[bool | None, str]:
    """Whether there is a secret that a login can use; None, and why, if that is not known."""
    if active.store == settings.FLEET:
        states = {ENROLLED: True, UNENROLLED: False, MISSING: False, ELSEWHERE: False}
        return states.get(facts.state), facts.fault
    try:
        return SecretDir(facts.user, active.store).credentials() is not None, ""
    except Failure as failure:
        return None, fault_of_home(facts.user) or told(failure.detail, facts.user)


def _outcome(
    facts: Facts,
    decision: Decision,
    enrolled: bool | None,
    secret_fault: str,
    active: settings.Settings,
) -> str:
    if decision.action == LET_THROUGH:
        return "no code is asked for"
    if decision.action == ENROLL and os.geteuid() == 0:
        return _of_enrollment(facts.user)
    if facts.sent_by:
        return ASKED
    if facts.state == UNENROLLED:
        return NOT_ENROLLED
    if secret_fault and active.store == settings.FLEET and not _answers(facts):
        return f"refused, unless an outage code of this host is entered: {secret_fault}"
    if secret_fault:
        return f"refused, whatever code is entered: {secret_fault}"
    if facts.state == ELSEWHERE and active.store == settings.FLEET:
        return _LEFT_BEHIND
    if not enrolled:
        return _MISSING_IN_FLEET if active.store == settings.FLEET else _MISSING
    return ASKED


def _of_enrollment(user: pwd.struct_passwd) -> str:
    """What a login shows to this user, who may enroll there (pam_totp.login.show_enrollment)."""
    try:
        return _HAS_CONTACT if contacts.has_confirmed(user) else QR_CODE
    except Failure as failure:
        return f"refused, and no QR code is shown: {told(failure.detail, user)}"


def _answers(facts: Facts) -> bool:
    """Whether the store of the fleet does."""
    try:
        fleet.standing(facts.user.pw_name)
    except Failure as failure:
        return failure.reason != STORE_UNAVAILABLE
    return True


def _grant_fault(facts: Facts) -> str:
    """A fault that only a login meets: a single-use grant is removed before it is accepted."""
    folder = f"{state_dir.VAR.path}/{grant.KIND}"
    if not (facts.grant and facts.grant.once) or os.access(folder, os.W_OK):
        return ""
    return f"{folder} cannot be written, so the grant is not used and a code is asked for"


def _run_fault(uid: int) -> str:
    """A fault of programs that run as the user: they record used codes in /run/user/UID."""
    folder = f"/run/user/{uid}"
    if os.geteuid() == 0 or os.access(folder, os.W_OK):
        return ""
    return f"{folder} does not exist (systemd creates it at login), so every code is refused"
