# SPDX-License-Identifier: MIT
"""sudo does not ask PAM about everybody: those whom sudoers spares are in the map of its ways."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.review.ways import ways_of_service
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sudoers import not_asked
from tests.host.pam_services import PamServices

FILE = Path("/etc/sudoers.d/pam-totp-test")
ASKED = "others: password, then code"


@pytest.fixture
def sudoers(pam_services: PamServices) -> Iterator[Path]:
    pam_services.add("sudo")
    yield FILE
    FILE.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "password, then code"),
        ("alice ALL=(ALL) ALL", "password, then code"),
        (
            "deploy ALL=(ALL) NOPASSWD: ALL",
            f"deploy: needs nothing (NOPASSWD in sudoers) · {ASKED}",
        ),
        (
            "User_Alias OPS = %ops, #1000\nOPS ALL = NOPASSWD: /bin/ls, PASSWD: /bin/cat",
            "members of ops: needs nothing (NOPASSWD in sudoers for /bin/ls) · "
            f"user id 1000: needs nothing (NOPASSWD in sudoers for /bin/ls) · {ASKED}",
        ),
        ("ALL, !bob ALL = NOPASSWD: ALL", "nothing (NOPASSWD in sudoers) · password, then code"),
        ("Defaults:bob !authenticate", f"bob: needs nothing (!authenticate in sudoers) · {ASKED}"),
        ("Defaults !authenticate", "nothing (!authenticate in sudoers) · password, then code"),
    ],
)
def test_whom_sudo_does_not_ask_is_said(sudoers: Path, text: str, said: str) -> None:
    sudoers.write_text(f"{text}\n", encoding="ascii")
    found = ways_of_service("sudo")
    assert found is not None
    assert sorted(found.text.split(" · ")) == sorted(said.split(" · "))
    assert not found.findings  # an administrator wrote so


def test_sudoers_that_cannot_be_read_is_unknown(sudoers: Path) -> None:
    sudoers.write_text("deploy ALL = NOPASSWD ALL\n", encoding="ascii")
    with pytest.raises(Unknown, match="cvtsudoers"):
        not_asked()
    found = ways_of_service("sudo")
    assert found is not None and "cvtsudoers" in found.unknown
