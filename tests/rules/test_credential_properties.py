# SPDX-License-Identifier: MIT
"""Properties of the parser: what apps write is read as they meant it, and no bytes upset it."""

import hashlib
import time
from base64 import b32encode

import pyotp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.records.storage.secret_dir import MAX_BYTES
from pam_totp.rules.credential import Malformed, decode_base32, parse_file, parse_line
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.typed_code import DIGITS

NAMES = st.text(min_size=1, max_size=40)
PIECES = st.sampled_from(
    [
        *("otpauth://", "totp/", "hotp/", "?", "&", "=", "#", "%", "%4", "%zz", "%00", " ", "\n"),
        *("secret=", "digits=", "period=", "algorithm=", "issuer=", "SHA1", "MD5", "6", "30", "0"),
        *("JBSWY3DPEHPK3PXP", "jbswy3dp", "ß", "\ufeff", "\0", "\r", "\t", "-1", "9" * 5000, "é"),
    ]
)
CONTENTS = st.binary(max_size=3000) | st.lists(PIECES, max_size=60).map("".join).map(str.encode)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    secret=st.binary(min_size=14, max_size=128),
    issuer=NAMES,
    name=NAMES,
    digits=st.sampled_from(DIGITS),
    period=st.integers(1, 3600),
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
)
def test_what_pyotp_writes_is_read_as_it_was_meant(
    secret: bytes, issuer: str, name: str, digits: int, period: int, algorithm: str
) -> None:
    totp = pyotp.TOTP(
        s=b32encode(secret).decode(),
        digits=digits,
        digest=getattr(hashlib, algorithm.lower()),
        interval=period,
    )
    credential = parse_line(totp.provisioning_uri(name=name, issuer_name=issuer) + " phone")
    assert credential.secret == secret
    assert (credential.algorithm, credential.digits, credential.period) == (
        algorithm,
        digits,
        period,
    )
    assert credential.account == f"{issuer}:{name}"
    assert credential.device == "phone"


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(CONTENTS)
def test_any_bytes_are_credentials_or_faults_and_never_an_exception(content: bytes) -> None:
    credentials, faults = parse_file(content)
    for credential in credentials:
        assert 10 <= len(credential.secret) <= 128
        assert credential.digits in DIGITS
        assert 1 <= credential.period <= 3600
        assert credential.algorithm in ALGORITHMS
    assert len(credentials) + len(faults) <= content.count(b"\n") + 1


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_line_is_a_credential_or_malformed(line: str) -> None:
    try:
        parse_line(line)
    except Malformed:
        pass


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_base32_is_that_of_the_standard_library(content: bytes) -> None:
    encoded = b32encode(content).decode()
    assert decode_base32(encoded) == decode_base32(encoded.rstrip("=").lower()) == content


@pytest.mark.parametrize(
    "content",
    [
        b"otpauth://totp/a?secret=" + b"A" * MAX_BYTES,
        b"otpauth://totp/a?" + b"&".join(b"x%d=1" % number for number in range(MAX_BYTES // 8)),
        b"otpauth://totp/a?x=" + b"%41" * (MAX_BYTES // 3),
        b"x\n" * (MAX_BYTES // 2),
        b" " * MAX_BYTES,
        b"otpauth://totp/a?secret=AAAAAAAAAAAAAAAA\n" * (MAX_BYTES // 41),
    ],
    ids=["secret", "parameters", "percent", "lines", "spaces", "credentials"],
)
def test_largest_file_is_parsed_within_a_second(content: bytes) -> None:
    begun = time.process_time()
    parse_file(content[:MAX_BYTES])
    assert time.process_time() - begun < 1
