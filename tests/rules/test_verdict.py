# SPDX-License-Identifier: MIT
"""Which code is right at which moment, and never a second time."""

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.rules.credential import Credential
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.otp import SKEW_STEPS, hotp, nearest_step, verdict_on
from pam_totp.rules.reasons import CLOCK_SKEW, REUSED_CODE, TOTP, WRONG_CODE
from pam_totp.rules.typed_code import DIGITS

STEP = 60_000_000
"""Of 30 s: in the year 2027."""
WITHIN_A_STEP = (0.0, 14.9, 15.0, 29.999)


def credential_of(
    secret: bytes = b"12345678901234567890",
    digits: int = 6,
    period: int = 30,
    algorithm: str = "SHA1",
    device: str = "phone",
) -> Credential:
    return Credential(
        secret=secret,
        algorithm=algorithm,
        digits=digits,
        period=period,
        account="Server:alice@server",
        device=device,
        identity=secret.hex(),
    )


def code_of(credential: Credential, step: int) -> str:
    return hotp(credential.secret, step, credential.digits, credential.algorithm)


PHONE = credential_of()


@pytest.mark.parametrize("second", WITHIN_A_STEP)
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_code_of_this_step_and_of_one_to_each_side_is_right(offset: int, second: float) -> None:
    verdict = verdict_on([PHONE], code_of(PHONE, STEP + offset), STEP * 30 + second, {})
    assert verdict.accepted
    assert (verdict.reason, verdict.credential, verdict.step) == (TOTP, PHONE, STEP + offset)


@pytest.mark.parametrize("second", WITHIN_A_STEP)
@pytest.mark.parametrize("offset", [-3, -2, 2, 3])
def test_code_of_two_steps_away_is_refused(offset: int, second: float) -> None:
    assert not verdict_on([PHONE], code_of(PHONE, STEP + offset), STEP * 30 + second, {}).accepted


@pytest.mark.parametrize("offset", [-SKEW_STEPS, -2, 2, SKEW_STEPS])
def test_code_of_another_clock_is_refused_and_the_log_says_how_far_it_is_off(offset: int) -> None:
    verdict = verdict_on([PHONE], code_of(PHONE, STEP + offset), STEP * 30 + 7, {})
    assert (verdict.accepted, verdict.reason) == (False, CLOCK_SKEW)
    assert verdict.step == STEP + offset
    when = f"be correct in {offset * 30} s" if offset > 0 else f"been correct {-offset * 30} s ago"
    assert f"{when}; compare the clocks" in verdict.detail


@pytest.mark.parametrize("offset", [-SKEW_STEPS - 1, SKEW_STEPS + 1, 120, 5000])
def test_code_of_a_far_moment_is_just_wrong(offset: int) -> None:
    verdict = verdict_on([PHONE], code_of(PHONE, STEP + offset), STEP * 30, {})
    assert (verdict.accepted, verdict.reason, verdict.credential) == (False, WRONG_CODE, None)


@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize("spent_later", [0, 1, 2, 1000])
def test_used_step_and_every_earlier_one_are_refused(offset: int, spent_later: int) -> None:
    spent = {PHONE.identity: STEP + offset + spent_later}
    verdict = verdict_on([PHONE], code_of(PHONE, STEP + offset), STEP * 30, spent)
    assert (verdict.accepted, verdict.reason) == (False, REUSED_CODE)


@pytest.mark.parametrize("back_seconds", [1, 29, 30, 31, 3600, 86400 * 365])
def test_used_code_stays_used_after_the_clock_was_set_back(back_seconds: int) -> None:
    now = STEP * 30 - back_seconds
    spent = {PHONE.identity: STEP}
    for step in range(int(now // 30) - 1, min(int(now // 30) + 1, STEP) + 1):
        verdict = verdict_on([PHONE], code_of(PHONE, step), now, spent)
        assert (verdict.accepted, verdict.reason) == (False, REUSED_CODE)
        assert f"last accepted {STEP}, current {int(now // 30)}" in verdict.detail


@pytest.mark.parametrize("offset", [0, 1])
def test_code_after_the_used_one_is_correct(offset: int) -> None:
    spent = {PHONE.identity: STEP + offset - 1}
    assert verdict_on([PHONE], code_of(PHONE, STEP + offset), STEP * 30, spent).accepted


class TestCodeOfTwoSteps:
    """The secret of RFC 4226 gives one code for these two steps in a row."""

    FIRST: ClassVar[int] = 62_075_368
    CODE: ClassVar[str] = "235522"

    def test_they_do_collide(self) -> None:
        assert code_of(PHONE, self.FIRST) == code_of(PHONE, self.FIRST + 1) == self.CODE

    def test_later_step_counts_where_only_the_first_is_used(self) -> None:
        for current in (self.FIRST, self.FIRST + 1):
            verdict = verdict_on([PHONE], self.CODE, current * 30, {PHONE.identity: self.FIRST})
            assert (verdict.accepted, verdict.step) == (True, self.FIRST + 1)

    def test_both_are_used_up_by_one_login(self) -> None:
        for current in (self.FIRST, self.FIRST + 1):
            spent = {PHONE.identity: verdict_on([PHONE], self.CODE, current * 30, {}).step}
            for later in range(current - 5, current + 5):
                assert not verdict_on([PHONE], self.CODE, later * 30, spent).accepted


def test_each_device_has_its_own_used_steps() -> None:
    tablet = credential_of(secret=b"another secret of it", device="tablet")
    spent = {PHONE.identity: STEP + 5}
    verdict = verdict_on([PHONE, tablet], code_of(tablet, STEP), STEP * 30, spent)
    assert (verdict.accepted, verdict.credential) == (True, tablet)
    assert not verdict_on([PHONE, tablet], code_of(PHONE, STEP), STEP * 30, spent).accepted


def test_correct_code_of_one_device_wins_over_the_skewed_one_of_another() -> None:
    tablet = credential_of(secret=b"another secret of it", period=60)
    for credentials in ([PHONE, tablet], [tablet, PHONE]):
        verdict = verdict_on(credentials, code_of(tablet, STEP // 2), STEP * 30, {})
        assert (verdict.accepted, verdict.credential) == (True, tablet)


@pytest.mark.parametrize("digits", DIGITS)
@pytest.mark.parametrize("period", [15, 30, 60])
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_kind_of_credential_is_verified_by_its_own_parameters(
    digits: int, period: int, algorithm: str
) -> None:
    credential = credential_of(digits=digits, period=period, algorithm=algorithm)
    now = 1_800_000_007.0
    step = int(now // period)
    code = code_of(credential, step)
    assert verdict_on([credential], code, now, {}).step == step
    for other in (code[:-1], code + "0", "0" + code, code[1:], ""):
        assert not verdict_on([credential], other, now, {}).accepted


def test_nobody_without_a_credential_is_accepted() -> None:
    assert verdict_on([], "755224", 0.0, {}).reason == WRONG_CODE


def test_first_minute_of_1970_has_no_step_before_it() -> None:
    assert verdict_on([PHONE], code_of(PHONE, 0), 3.0, {}).accepted
    assert not verdict_on([PHONE], code_of(PHONE, 2), 3.0, {}).accepted


@pytest.mark.parametrize("offset", [-1600, -25, -2, 2, 25, 1600])
def test_nearest_step_tells_how_far_off_a_clock_is(offset: int) -> None:
    code = code_of(PHONE, STEP + offset)
    assert nearest_step(PHONE, code, STEP * 30 + 3, 1680) == offset
    assert nearest_step(PHONE, code, STEP * 30 + 3, abs(offset) - 1) == 0


MOMENTS = st.integers(-90, 90)
"""Half steps around STEP: the clock may go anywhere, as under a bad NTP server."""


@settings(derandomize=True, deadline=None, max_examples=200)
@given(logins=st.lists(st.tuples(MOMENTS, st.integers(-2, 2)), max_size=30))
def test_accepted_steps_only_ever_grow(logins: list[tuple[int, int]]) -> None:
    spent: dict[str, int] = {}
    for half_steps, offset in logins:
        now = STEP * 30 + half_steps * 15
        step = int(now // 30) + offset
        before = spent.get(PHONE.identity, -1)
        verdict = verdict_on([PHONE], code_of(PHONE, step), now, spent)
        assert verdict.accepted == (abs(offset) <= 1 and step > before)
        if verdict.accepted:
            assert verdict.step == step > before
            spent[PHONE.identity] = verdict.step
