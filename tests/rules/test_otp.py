# SPDX-License-Identifier: MIT
"""Codes are those of the RFCs, of pyotp and of oathtool."""

import hashlib
import random
import subprocess
from base64 import b32encode

import pyotp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.rules.credential import Credential, parse_line
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.otp import hotp, matching_steps, verdict_on
from pam_totp.rules.typed_code import DIGITS

# RFC 4226, appendix D: the codes of counters 0 to 9.
RFC4226_SECRET = b"12345678901234567890"
RFC4226_BASE32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC4226_CODES = (
    *("755224", "287082", "359152", "969429", "338314"),
    *("254676", "287922", "162583", "399871", "520489"),
)
# RFC 6238, appendix B: Unix time and 8 digits. The keys are the digits 1 to 0, as long as the hash.
RFC6238_TIMES = (59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000)
RFC6238_KEY_BYTES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}
RFC6238_CODES = {
    "SHA1": ("94287082", "07081804", "14050471", "89005924", "69279037", "65353130"),
    "SHA256": ("46119246", "68084774", "67062674", "91819424", "90698825", "77737706"),
    "SHA512": ("90693936", "25091201", "99943326", "93441116", "38618901", "47863826"),
}
RFC6238_VECTORS = [
    (algorithm, now, code)
    for algorithm, codes in RFC6238_CODES.items()
    for now, code in zip(RFC6238_TIMES, codes, strict=True)
]


@pytest.mark.parametrize(("counter", "code"), enumerate(RFC4226_CODES))
def test_codes_are_those_of_rfc_4226(counter: int, code: str) -> None:
    assert hotp(RFC4226_SECRET, counter, 6, "SHA1") == code


@pytest.mark.parametrize(("algorithm", "now", "code"), RFC6238_VECTORS)
def test_codes_are_those_of_rfc_6238(algorithm: str, now: int, code: str) -> None:
    secret = (b"1234567890" * 7)[: RFC6238_KEY_BYTES[algorithm]]
    assert hotp(secret, int(now // 30), 8, algorithm) == code


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    secret=st.binary(min_size=10, max_size=150),
    counter=st.integers(0, 2**63),
    digits=st.sampled_from(DIGITS),
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
)
def test_codes_are_those_of_pyotp(secret: bytes, counter: int, digits: int, algorithm: str) -> None:
    oracle = pyotp.HOTP(
        s=b32encode(secret).decode(), digits=digits, digest=getattr(hashlib, algorithm.lower())
    )
    assert hotp(secret, counter, digits, algorithm) == oracle.at(counter)


def test_codes_are_those_of_oathtool() -> None:
    source = random.Random(4226)
    for _ in range(60):
        secret = source.randbytes(source.randint(10, 150))
        algorithm, digits = source.choice(sorted(ALGORITHMS)), source.choice(DIGITS)
        period, now = source.randint(1, 3600), source.randint(0, 2**33)
        oathtool = subprocess.run(
            [
                *("oathtool", f"--totp={algorithm}", f"--digits={digits}"),
                *(f"--time-step-size={period}s", f"--now=@{now}", secret.hex()),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert hotp(secret, int(now // period), digits, algorithm) == oathtool.stdout.strip()


def credential_of(period: int) -> Credential:
    return parse_line(f"otpauth://totp/x?period={period}&secret={RFC4226_BASE32}")


@pytest.mark.parametrize("period", [1, 15, 30, 60, 3600])
def test_a_step_lasts_its_period_to_the_last_moment(period: int) -> None:
    step = 1_800_000_000 // period
    first, credential = step * period, credential_of(period)
    code = hotp(RFC4226_SECRET, step, 6, "SHA1")
    moments = (first - 0.001, first, first + period - 0.001, first + period)
    accepted = [verdict_on([credential], code, now, {}, 0).accepted for now in moments]
    assert accepted == [False, True, True, False]


def test_no_step_lies_before_1970() -> None:
    code, credential = hotp(RFC4226_SECRET, 0, 6, "SHA1"), credential_of(30)
    assert matching_steps(credential, code, range(-1, 2)) == [0]
    assert matching_steps(credential, code, range(-40, 0)) == []


@pytest.mark.parametrize("digits", DIGITS)
def test_leading_zeros_are_part_of_a_code(digits: int) -> None:
    codes = [hotp(RFC4226_SECRET, counter, digits, "SHA1") for counter in range(300)]
    assert {len(code) for code in codes} == {digits}
    assert any(code.startswith("0") for code in codes)
