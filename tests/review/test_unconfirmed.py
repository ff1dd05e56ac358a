# SPDX-License-Identifier: MIT
"""The mark of a secret that nobody has shown to have: logins and apps do not see it."""

import pytest

from pam_totp.records.user.devices import UNCONFIRMED, devices_of, line_of
from pam_totp.review.unconfirmed import is_unconfirmed
from pam_totp.rules.credential import parse_file, parse_line

MADE = 1_800_000_000  # a whole minute
URI = "otpauth://totp/server:alice@server?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=server"


def line(made: float) -> str:
    return line_of(URI, "my phone", made, UNCONFIRMED)


def test_mark_changes_nothing_that_a_login_or_an_app_reads() -> None:
    plain, marked = parse_line(f"{URI} my phone"), parse_line(line(MADE))
    assert vars(plain) == vars(marked)
    (device,) = devices_of(line(MADE).encode())
    assert (device.uri, device.since) == (URI, MADE)


@pytest.mark.parametrize(
    ("last_login", "expected"),
    [(None, True), (MADE - 1, True), (MADE, False), (MADE + 1000, False)],
)
def test_login_with_a_code_since_the_enrollment_confirms_it(
    last_login: int | None, expected: bool
) -> None:
    content = f"# comment\n{line(MADE)}\n".encode()
    assert parse_file(content)[1] == []
    assert is_unconfirmed(content, last_login) is expected


def test_latest_of_several_enrollments_counts() -> None:
    content = f"{line(MADE)}\n{line(MADE + 600)}\n".encode()
    assert is_unconfirmed(content, MADE + 300)
    assert not is_unconfirmed(content, MADE + 600)


@pytest.mark.parametrize(
    "unmarked",
    [
        f"{URI} phone",
        line_of(URI, "phone", MADE),
        f"{URI} &unconfirmed=20261129T1711Z",
        f"# {line(MADE)}",
        f"{URI}&unconfirmed=soon phone",
        f"{URI}&unconfirmed=20261399T1711Z phone",
        f"{URI}&not-unconfirmed=20261129T1711Z phone",
        "",
    ],
)
def test_what_is_no_mark_is_none(unmarked: str) -> None:
    assert not is_unconfirmed(unmarked.encode(), None)
