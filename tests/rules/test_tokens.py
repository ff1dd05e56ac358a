# SPDX-License-Identifier: MIT
"""Codes of tokens that count: RFC 4226, with its own vectors and pyotp as the oracles."""

import hashlib
from base64 import b32encode

import pyotp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.rules.credential import Credential, Malformed, parse_line
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.otp import WINDOW_STEPS, verdict_on
from pam_totp.rules.reasons import CLOCK_SKEW, HOTP, REUSED_CODE, TOTP, WRONG_CODE
from pam_totp.rules.tokens import (
    CODES_A_GUESS,
    GUESSES,
    LOOK_AHEAD,
    MAX_COUNTER,
    MAX_OFFSET_STEPS,
    RESYNC_REACH,
    SEARCHED,
    accepted_verdict,
    accepting,
    by_guesses,
    expected,
    refused_verdict,
    successive,
)
from pam_totp.rules.typed_code import DIGITS
from tests.rules.test_otp import RFC4226_BASE32, RFC4226_CODES

NOW = 1_800_000_000.0
ORACLE = pyotp.HOTP(RFC4226_BASE32)


def token(counter: int = 0, secret: str = RFC4226_BASE32, more: str = "") -> Credential:
    return parse_line(f"otpauth://hotp/x:alice?secret={secret}&counter={counter}{more} token")


def code_at(counter: int) -> str:
    return str(ORACLE.at(counter))


TOKEN = token()
ALL = by_guesses([TOKEN])
PHONE = parse_line("otpauth://totp/x:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP phone")


@pytest.mark.parametrize(("counter", "code"), enumerate(RFC4226_CODES))
def test_codes_of_appendix_d_are_accepted_each_at_its_counter(counter: int, code: str) -> None:
    assert accepting(by_guesses([token(counter)]), code, {}) == (token(counter), counter)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    secret=st.binary(min_size=10, max_size=100),
    counter=st.integers(0, 2**40),
    ahead=st.integers(0, LOOK_AHEAD - 1),
    digits=st.sampled_from(DIGITS),
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
)
def test_codes_within_the_window_are_those_of_pyotp(
    secret: bytes, counter: int, ahead: int, digits: int, algorithm: str
) -> None:
    key = b32encode(secret).decode()
    oracle = pyotp.HOTP(s=key, digits=digits, digest=getattr(hashlib, algorithm.lower()))
    uri = f"&digits={digits}&algorithm={algorithm}"
    owned = token(counter, key.rstrip("="), uri)
    code = oracle.at(counter + ahead)
    found = accepting(by_guesses([owned]), code, {})
    assert found is not None
    later = [each for each in range(ahead, LOOK_AHEAD) if oracle.at(counter + each) == code]
    assert found == (owned, counter + max(later))


def test_token_that_was_pressed_eleven_times_too_often_is_accepted_and_twelve_is_not() -> None:
    assert accepting(ALL, code_at(11), {}) == (TOKEN, 11)
    assert accepting(ALL, code_at(12), {}) is None


def test_lower_bound_is_the_later_of_the_record_and_the_line() -> None:
    assert expected(token(5), {}) == 5
    assert expected(token(5), {TOKEN.identity: 3}) == 5
    assert expected(token(5), {TOKEN.identity: 5}) == 6
    assert expected(token(5), {"another": 90}) == 5


def test_used_counter_and_all_before_it_are_refused() -> None:
    for counter in range(8):
        assert accepting(ALL, code_at(counter), {TOKEN.identity: 7}) is None
    assert accepting(ALL, code_at(8), {TOKEN.identity: 7}) == (TOKEN, 8)


def test_code_that_comes_twice_within_the_window_is_good_once() -> None:
    """An earlier counter would leave the same code good at the later one."""
    for number in range(10**6):
        oracle = pyotp.HOTP(key := b32encode(number.to_bytes(20, "big")).decode())
        codes = [oracle.at(counter) for counter in range(LOOK_AHEAD)]
        twice = [code for code in codes if codes.count(code) > 1]
        if twice:
            break
    owned = token(0, key)
    found = accepting(by_guesses([owned]), twice[0], {})
    assert found == (owned, max(at for at, code in enumerate(codes) if code == twice[0]))
    assert accepting(by_guesses([owned]), twice[0], {owned.identity: found[1]}) is None


def test_each_guess_looks_at_as_many_codes_as_one_of_a_phone() -> None:
    assert CODES_A_GUESS == 2 * WINDOW_STEPS + 1
    assert GUESSES * CODES_A_GUESS == LOOK_AHEAD
    assert by_guesses([PHONE, TOKEN]) == [PHONE, *[TOKEN] * GUESSES]
    for guesses in range(1, GUESSES + 1):
        last = guesses * CODES_A_GUESS - 1
        assert accepting(ALL[:guesses], code_at(last), {}) == (TOKEN, last)
        assert accepting(ALL[:guesses], code_at(last + 1), {}) is None


def test_line_that_is_there_twice_does_not_widen_the_window() -> None:
    assert accepting(by_guesses([TOKEN, TOKEN]), code_at(LOOK_AHEAD), {}) is None


def test_accepted_code_is_told_as_hotp_with_its_counter() -> None:
    verdict = accepted_verdict(TOKEN, 7, NOW, {})
    assert (verdict.accepted, verdict.reason, verdict.credential) == (True, HOTP, TOKEN)
    assert (verdict.step, verdict.detail) == (int(NOW // 30), "counter 7")


def test_time_of_use_never_goes_back_where_a_phone_has_the_same_secret() -> None:
    step = int(NOW // 30) + 1
    assert accepted_verdict(TOKEN, 7, NOW, {TOKEN.identity: step}).step == step


@pytest.mark.parametrize(
    ("counter", "reason", "detail"),
    [
        (19, REUSED_CODE, "code already used or skipped (counter 19; expected 120)"),
        (119, REUSED_CODE, "code already used or skipped (counter 119; expected 120)"),
        (125, WRONG_CODE, "code is 5 presses ahead of the expected one"),
        (
            132,
            WRONG_CODE,
            "code is 12 presses ahead of the expected one, and up to 11 are accepted; "
            "run: pam-totp resync --user USER",
        ),
    ],
)
def test_refusal_says_what_is_known(counter: int, reason: str, detail: str) -> None:
    counter = max(counter, 120 - SEARCHED)
    detail = detail.replace("counter 19;", "counter 20;")
    verdict = refused_verdict([TOKEN], code_at(counter), {TOKEN.identity: 119})
    assert verdict is not None
    assert (verdict.accepted, verdict.reason, verdict.detail) == (False, reason, detail)
    assert verdict.credential == TOKEN


def test_code_beyond_what_is_searched_is_told_nothing() -> None:
    assert refused_verdict([TOKEN], code_at(SEARCHED), {}) is not None
    assert refused_verdict([TOKEN], code_at(SEARCHED + 1), {}) is None


@pytest.mark.parametrize("counter", [0, 1, 2**32, MAX_COUNTER])
def test_counter_of_a_line_is_taken(counter: int) -> None:
    assert token(counter).counter == counter
    assert token(counter).period == 30


@pytest.mark.parametrize("text", ["", "-1", "x", "1.0", " 1", "١", str(MAX_COUNTER + 1), "9" * 400])  # noqa: RUF001
def test_counter_that_is_none_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="must have counter="):
        parse_line(f"otpauth://hotp/a?secret={RFC4226_BASE32}&counter={text} token")


@pytest.mark.parametrize("text", ["", "x", "--1", "+1", "1e3", str(MAX_OFFSET_STEPS + 1)])
def test_offset_that_is_none_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="must have offset="):
        parse_line(f"otpauth://totp/a?secret={RFC4226_BASE32}&offset={text} token")


@pytest.mark.parametrize("offset", [-1680, -7, 0, 3, 1680])
def test_codes_of_a_token_with_an_offset_are_those_of_its_clock(offset: int) -> None:
    line = f"otpauth://totp/a?secret={RFC4226_BASE32}&offset={offset} token"
    drifting, step = parse_line(line), int(NOW // 30) + offset
    for ahead in (-1, 0, 1):
        verdict = verdict_on([drifting], code_at(step + ahead), NOW, {})
        assert (verdict.accepted, verdict.reason, verdict.step) == (True, TOTP, step + ahead)
        used = {drifting.identity: step + ahead}
        assert verdict_on([drifting], code_at(step + ahead), NOW, used).reason == REUSED_CODE
    skewed = verdict_on([drifting], code_at(step + 5), NOW, {})
    assert (skewed.reason, skewed.detail.partition(";")[0]) == (
        CLOCK_SKEW,
        "code would be correct in 150 s",
    )


def test_two_successive_codes_are_found_forward_only() -> None:
    reach = range(5, 5 + RESYNC_REACH)
    assert successive(TOKEN, code_at(9000), code_at(9001), reach) == 9000
    assert successive(TOKEN, code_at(5), code_at(6), reach) == 5
    assert successive(TOKEN, code_at(4), code_at(5), reach) is None
    assert successive(TOKEN, code_at(9001), code_at(9000), reach) is None
    assert successive(TOKEN, code_at(9000), code_at(9000), reach) is None
    assert successive(TOKEN, code_at(9000), code_at(9002), reach) is None
    assert successive(TOKEN, code_at(5 + RESYNC_REACH), code_at(6 + RESYNC_REACH), reach) is None
