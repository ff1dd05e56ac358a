# SPDX-License-Identifier: MIT
"""The mark of a secret that nobody has shown to have: logins and apps do not see it."""

import pytest

from pam_totp.review.unconfirmed import is_unconfirmed, marked
from pam_totp.rules.credential import parse_file, parse_line

URI = "otpauth://totp/server:alice@server?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=server"


def test_mark_changes_nothing_that_a_login_reads() -> None:
    plain, with_mark = (parse_line(f"{uri} my phone") for uri in (URI, marked(URI, 1800000000.9)))
    for name in ("secret", "algorithm", "digits", "period", "account", "device", "identity"):
        assert getattr(plain, name) == getattr(with_mark, name)


@pytest.mark.parametrize(
    ("last_login", "expected"), [(None, True), (999, True), (1000, False), (2000, False)]
)
def test_login_with_a_code_since_the_enrollment_confirms_it(
    last_login: int | None, expected: bool
) -> None:
    content = f"# comment\n{marked(URI, 1000)} phone\n".encode()
    assert parse_file(content)[1] == []
    assert is_unconfirmed(content, last_login) is expected


def test_latest_of_several_enrollments_counts() -> None:
    content = f"{marked(URI, 1000)} phone\n{marked(URI, 3000)}\n".encode()
    assert is_unconfirmed(content, 2000)
    assert not is_unconfirmed(content, 3000)


@pytest.mark.parametrize(
    "line",
    [
        f"{URI} phone",
        f"{URI} &x-pam-totp=unconfirmed.5",
        f"# {marked(URI, 1000)} phone",
        f"{URI}&x-pam-totp=unconfirmed.soon phone",
        f"{URI}&x-pam-totp=unconfirmed.{'9' * 40} phone",
        f"{URI}&not-x-pam-totp=unconfirmed.1000 phone",
        "",
    ],
)
def test_what_is_no_mark_is_none(line: str) -> None:
    assert not is_unconfirmed(line.encode(), None)
