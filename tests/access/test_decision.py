# SPDX-License-Identifier: MIT
"""The decision: every mode of enrollment with every code and every state of the secret."""

import itertools
import pwd

import pytest

from pam_totp.access.decision import (
    ASK,
    ELSEWHERE,
    ENROLL,
    ENROLLED,
    LET_THROUGH,
    MISSING,
    UNENROLLED,
    UNKNOWN,
    Decision,
    decide,
)
from pam_totp.access.facts import Facts, rule_for
from pam_totp.records.config.settings import typed
from pam_totp.records.config.table import DEFAULTS
from pam_totp.records.user.grant import Grant
from pam_totp.rules.enrollment import (
    AT_LOGIN,
    BY,
    DAY_SECONDS,
    MODES,
    OPTIONAL,
    SHOW_SECRETS,
    Enrollment,
)
from pam_totp.rules.policy import CODES, IF_ENROLLED, NEVER, REQUIRED, Rule
from pam_totp.rules.reasons import EXEMPT, GRACE, GRANTED, NOT_ENROLLED, REMEMBERED
from pam_totp.rules.request import Request

DEADLINE = 1_803_859_200  # 2027-03-01 in UTC
BEFORE, AFTER = DEADLINE - 1.0, float(DEADLINE)
STATES = (ENROLLED, MISSING, ELSEWHERE, UNKNOWN)

# code, state, granted: the reason why no code is asked for, or what is left to do.
ENROLLMENT = "as enrollment says"
TABLE: dict[tuple[str, str, bool], str] = {
    **{
        (NEVER, state, granted): EXEMPT
        for state in (*STATES, UNENROLLED)
        for granted in (False, True)
    },
    **{(code, state, False): ASK for state in STATES for code in (IF_ENROLLED, REQUIRED)},
    **{(code, state, True): GRANTED for state in STATES for code in (IF_ENROLLED, REQUIRED)},
    (IF_ENROLLED, UNENROLLED, False): NOT_ENROLLED,
    (IF_ENROLLED, UNENROLLED, True): NOT_ENROLLED,
    (REQUIRED, UNENROLLED, False): ENROLLMENT,
    (REQUIRED, UNENROLLED, True): GRANTED,
}
ENROLLMENTS = {
    **{(mode, "any time"): (Enrollment(mode=mode), AFTER) for mode in MODES},
    (BY, "before the day"): (Enrollment(mode=BY, deadline=DEADLINE), BEFORE),
    (BY, "from the day on"): (Enrollment(mode=BY, deadline=DEADLINE), AFTER),
}
CASES = [(*case, *enrollment) for case in TABLE for enrollment in ENROLLMENTS]


def facts(code: str, state: str, granted: bool = False, *, is_remembered: bool = False) -> Facts:
    return Facts(
        user=pwd.getpwuid(0),
        rule=Rule(code=code),
        state=state,
        grant=Grant(since=0, until=1, once=False) if granted else None,
        is_remembered=is_remembered,
    )


def test_table_has_every_case() -> None:
    assert set(TABLE) == set(itertools.product(CODES, (*STATES, UNENROLLED), (True, False)))


@pytest.mark.parametrize(("code", "state", "granted", "mode", "when"), CASES)
def test_decision(code: str, state: str, granted: bool, mode: str, when: str) -> None:
    enrollment, now = ENROLLMENTS[mode, when]
    expected = TABLE[code, state, granted]
    found = decide(facts(code, state, granted), enrollment, "sshd", now)
    if expected == ENROLLMENT and when == "before the day":
        expected = GRACE
    if expected == ENROLLMENT:
        assert found.action == (ENROLL if mode == AT_LOGIN else ASK)
    elif expected == ASK:
        assert (found.action, found.reason) == (ASK, "")
    else:
        assert (found.action, found.reason) == (LET_THROUGH, expected)
    assert found.days == (1 if expected == GRACE else 0)


@pytest.mark.parametrize(("code", "state", "granted", "mode", "when"), CASES)
def test_remembered_code_spares_only_those_who_would_be_asked_for_another(
    code: str, state: str, granted: bool, mode: str, when: str
) -> None:
    def shown(decision: Decision) -> tuple[str, str]:
        return decision.action, decision.reason

    enrollment, now = ENROLLMENTS[mode, when]
    without = decide(facts(code, state, granted), enrollment, "sshd", now)
    with_one = decide(facts(code, state, granted, is_remembered=True), enrollment, "sshd", now)
    if without.action == ASK and state != UNENROLLED:
        assert shown(with_one) == (LET_THROUGH, REMEMBERED)
    else:
        assert shown(with_one) == shown(without)


@pytest.mark.parametrize(("code", "state", "granted", "mode", "when"), CASES)
def test_not_knowing_who_is_enrolled_never_exempts_a_user_who_would_be_asked(
    code: str, state: str, granted: bool, mode: str, when: str
) -> None:
    enrollment, now = ENROLLMENTS[mode, when]
    unknown = decide(facts(code, UNKNOWN, granted), enrollment, "sshd", now)
    known = decide(facts(code, state, granted), enrollment, "sshd", now)
    if code != NEVER and not granted:
        assert unknown.action == ASK
        assert known.action in (ASK, ENROLL) or state == UNENROLLED


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (0.5, 1),
        (1, 1),
        (DAY_SECONDS - 1, 1),
        (DAY_SECONDS, 1),
        (DAY_SECONDS + 1, 2),
        (10 * DAY_SECONDS, 10),
        (10 * DAY_SECONDS + 0.5, 11),
    ],
)
def test_days_that_are_left_are_counted_up_to_the_day_itself(left: float, days: int) -> None:
    enrollment = Enrollment(mode=BY, deadline=DEADLINE)
    found = decide(facts(REQUIRED, UNENROLLED), enrollment, "sshd", DEADLINE - left)
    assert (found.reason, found.days) == (GRACE, days)


@pytest.mark.parametrize("mode", [*MODES, BY])
def test_where_no_rule_matches_only_optional_leaves_the_others_alone(mode: str) -> None:
    settings = typed(DEFAULTS | {"enrollment": f"{mode} {DEADLINE}"}, b"")
    rule = rule_for(Request(user="root", service="sshd"), pwd.getpwuid(0), settings)
    assert rule.code == (IF_ENROLLED if mode == OPTIONAL else REQUIRED)


@pytest.mark.parametrize("mode", [*MODES, BY])
@pytest.mark.parametrize("service", [*SHOW_SECRETS, "mail", "cockpit", "", "ssh", "sshd "])
def test_only_services_that_show_secrets_enroll_and_only_at_login(mode: str, service: str) -> None:
    enrollment = Enrollment(mode=mode, deadline=DEADLINE, more_services=("mail",))
    found = decide(facts(REQUIRED, UNENROLLED), enrollment, service, AFTER)
    may_enroll = mode == AT_LOGIN and service in (*SHOW_SECRETS, "mail")
    assert found.action == (ENROLL if may_enroll else ASK)
