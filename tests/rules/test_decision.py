"""What follows from a rule: every mode of enrollment with every code and every standing."""

import itertools

import pytest

from pam_totp.access.decision import decide
from pam_totp.rules.enrollment import (
    AT_LOGIN,
    BY,
    DAY_SECONDS,
    MODES,
    OPTIONAL,
    SHOW_SECRETS,
    Enrollment,
)
from pam_totp.rules.policy import CODES, IF_ENROLLED, NEVER, REQUIRED
from pam_totp.rules.reasons import EXEMPT, GRACE, GRANTED, NOT_ENROLLED

DEADLINE = 1_803_859_200  # 2027-03-01 in UTC
BEFORE, AFTER = DEADLINE - 1.0, float(DEADLINE)
UNKNOWN = None

# code, enrolled, granted: the reason why no code is asked for, or what is left to do.
ASK, ENROLLMENT = "", "as enrollment says"
TABLE: dict[tuple[str, bool | None, bool], str] = {
    (NEVER, True, False): EXEMPT,
    (NEVER, True, True): EXEMPT,
    (NEVER, False, False): EXEMPT,
    (NEVER, False, True): EXEMPT,
    (NEVER, UNKNOWN, False): EXEMPT,
    (NEVER, UNKNOWN, True): EXEMPT,
    (IF_ENROLLED, True, False): ASK,
    (IF_ENROLLED, True, True): GRANTED,
    (IF_ENROLLED, False, False): NOT_ENROLLED,
    (IF_ENROLLED, False, True): NOT_ENROLLED,
    (IF_ENROLLED, UNKNOWN, False): ASK,
    (IF_ENROLLED, UNKNOWN, True): GRANTED,
    (REQUIRED, True, False): ASK,
    (REQUIRED, True, True): GRANTED,
    (REQUIRED, False, False): ENROLLMENT,
    (REQUIRED, False, True): GRANTED,
    (REQUIRED, UNKNOWN, False): ASK,
    (REQUIRED, UNKNOWN, True): GRANTED,
}
ENROLLMENTS = {
    **{(mode, "any time"): (Enrollment(mode), AFTER) for mode in MODES},
    (BY, "before the day"): (Enrollment(BY, DEADLINE), BEFORE),
    (BY, "from the day on"): (Enrollment(BY, DEADLINE), AFTER),
}
CASES = [(*case, *enrollment) for case in TABLE for enrollment in ENROLLMENTS]


def test_table_has_every_case() -> None:
    assert set(TABLE) == set(itertools.product(CODES, (True, False, UNKNOWN), (True, False)))


@pytest.mark.parametrize(("code", "enrolled", "granted", "mode", "when"), CASES)
def test_decision(code: str, enrolled: bool | None, granted: bool, mode: str, when: str) -> None:
    enrollment, now = ENROLLMENTS[mode, when]
    expected = TABLE[code, enrolled, granted]
    found = decide(code, enrolled, granted, enrollment, "sshd", now)
    if expected == ENROLLMENT:
        expected = GRACE if when == "before the day" else ASK
        assert found.enrolls == (mode == AT_LOGIN)
    else:
        assert not found.enrolls
    assert (found.needs_code, found.reason) == (expected == ASK, expected)
    assert found.days == (1 if expected == GRACE else 0)


@pytest.mark.parametrize(("code", "enrolled", "granted", "mode", "when"), CASES)
def test_not_knowing_who_is_enrolled_never_lets_in_who_would_be_asked(
    code: str, enrolled: bool | None, granted: bool, mode: str, when: str
) -> None:
    enrollment, now = ENROLLMENTS[mode, when]
    unknown = decide(code, UNKNOWN, granted, enrollment, "sshd", now)
    known = decide(code, enrolled, granted, enrollment, "sshd", now)
    if code != NEVER and not granted:
        assert unknown.needs_code >= known.needs_code
        assert not unknown.enrolls


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
    found = decide(REQUIRED, False, False, Enrollment(BY, DEADLINE), "sshd", DEADLINE - left)
    assert (found.reason, found.days) == (GRACE, days)


@pytest.mark.parametrize("mode", [*MODES, BY])
def test_where_no_rule_matches_only_optional_leaves_the_others_alone(mode: str) -> None:
    assert Enrollment(mode, DEADLINE).otherwise() == (IF_ENROLLED if mode == OPTIONAL else REQUIRED)


@pytest.mark.parametrize("mode", [*MODES, BY])
@pytest.mark.parametrize("service", [*SHOW_SECRETS, "mail", "cockpit", "", "ssh", "sshd "])
def test_only_services_that_show_secrets_enroll_and_only_at_login(mode: str, service: str) -> None:
    enrollment = Enrollment(mode, DEADLINE, ["mail"])
    found = decide(REQUIRED, False, False, enrollment, service, AFTER)
    assert found.enrolls == (mode == AT_LOGIN and service in (*SHOW_SECRETS, "mail"))
