# SPDX-License-Identifier: MIT
"""What counts as a typed code: 6 to 8 ASCII digits, and nothing that merely looks like them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.rules.reasons import BAD_INPUT, Failure
from pam_totp.rules.typed_code import read_code

NOTHING = (b"", b"   ", b"\0")
NO_CODE = {
    "five digits": b"12345",
    "nine digits": b"123456789",
    "plus": b"+123456",
    "minus": b"-123456",
    "letter": b"12345a",
    "hexadecimal": b"0x1234",
    "exponent": b"1e5000",
    "underscore": b"123_456",
    "hyphen": b"123-456",
    "point": b"123.456",
    "NUL inside": b"123\x00456",
    "NUL before": b"\x00123456",
    "two NULs": b"123456\0\0",
    "newline": b"123456\n",
    "tab": b"123\t456",
    "no-break space": "123\u00a0456".encode(),
    "thin space": "123\u2009456".encode(),
    "full-width digits": "１２３４５６".encode(),  # noqa: RUF001
    "Arabic-Indic digits": "١٢٣٤٥٦".encode(),
    "superscript digits": "¹²³¹²³".encode(),
    "one full-width digit": "12345６".encode(),  # noqa: RUF001
    "byte order mark": b"\xef\xbb\xbf123456",
    "Latin-1": b"12345\xb2",
    "control character": b"123456\x1b",
    "too many spaces": b"123456" + b" " * 27,
    "all that pam_exec sends": b"1" * 511,
    "64 KiB": b"1" * 65536,
}


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (b"123456", "123456"),
        (b"000000", "000000"),
        (b"1234567", "1234567"),
        (b"12345678", "12345678"),
        (b"123 456", "123456"),
        (b" 123 456 ", "123456"),
        (b"1234 5678", "12345678"),
        (b"123456\0", "123456"),  # as pam_exec of older Linux-PAM releases sends it
    ],
)
def test_six_to_eight_digits_are_a_code(typed: bytes, code: str) -> None:
    assert read_code(typed) == code


@pytest.mark.parametrize("typed", NO_CODE.values(), ids=NO_CODE.keys())
def test_anything_else_is_bad_input(typed: bytes) -> None:
    with pytest.raises(Failure) as refused:
        read_code(typed)
    assert refused.value.reason == BAD_INPUT
    assert refused.value.detail == "not 6 to 8 ASCII digits"  # and nothing of what was typed


@pytest.mark.parametrize("typed", NOTHING)
def test_nothing_typed_is_told_apart_for_an_sshd_that_cannot_ask(typed: bytes) -> None:
    with pytest.raises(Failure) as refused:
        read_code(typed)
    assert refused.value.reason == BAD_INPUT
    assert refused.value.detail.startswith("no code, or no way to ask")


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.binary(max_size=600) | st.text("0123456789 \0", max_size=40).map(str.encode))
def test_any_bytes_are_six_to_eight_ascii_digits_or_refused(typed: bytes) -> None:
    try:
        code = read_code(typed)
    except Failure as refused:
        assert refused.reason == BAD_INPUT
    else:
        assert 6 <= len(code) <= 8
        assert set(code) <= set("0123456789")
        assert code.encode() == typed.removesuffix(b"\0").replace(b" ", b"")
