"""`pam-totp config check`: all faults of a file, with their places; it changes nothing."""

import os
from pathlib import Path

import pytest

from tests.admin.commands import (
    CONFIGURATION,
    LAST_GOOD,
    assert_refused,
    configured,
    pam_totp,
)
from tests.host.accounts import User


def test_shipped_file_is_good() -> None:
    answer = pam_totp("config", "check")
    assert (answer.code, answer.output) == (0, "/etc/pam-totp/config.yaml: good\n")


def test_faults_are_named_one_a_line_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text("stor: user\nthrottle:\n  free_tries: 0\n  first_wiat: 3\n", encoding="utf-8")
    answer = pam_totp("config", "check", str(path))
    assert (answer.code, answer.output) == (1, "")
    assert answer.errors.splitlines() == [
        f"{path}: line 1, column 1: unknown key stor; did you mean store?",
        f"{path}: line 3, column 15: throttle.free_tries is a number from 1 to 20, not '0'",
        f"{path}: line 4, column 3: unknown key throttle.first_wiat; "
        "did you mean throttle.first_wait?",
    ]


def test_it_keeps_no_snapshot(tmp_path: Path) -> None:
    with configured("store: system\n"):
        assert pam_totp("config", "check").code == 0
        assert not LAST_GOOD.exists()


@pytest.mark.parametrize("spoil", ["of somebody else", "writable by a group"])
def test_file_in_force_that_others_could_write_is_a_fault(spoil: str) -> None:
    with configured("store: user\n") as path:
        if spoil == "of somebody else":
            os.chown(path, 1234, 0)
        else:
            path.chmod(0o664)
        answer = pam_totp("config", "check")
        assert answer.code == 1
        assert "is not root's alone to write" in answer.errors


def test_another_file_may_be_anybodys(user: User) -> None:
    user.give(user.home / "new.yaml", "store: system\n")
    answer = pam_totp("config", "check", str(user.home / "new.yaml"), user=user)
    assert (answer.code, answer.errors) == (0, "")


def test_anybody_can_check_the_file_in_force(user: User) -> None:
    assert pam_totp("config", "check", user=user).code == 0


def test_file_that_cannot_be_read_is_an_error_in_two_lines(user: User, tmp_path: Path) -> None:
    assert_refused(pam_totp("config", "check", str(tmp_path / "none")), "No such file")
    assert_refused(pam_totp("config", "check", str(tmp_path)), "Is a directory")
    with configured("") as path:
        path.chmod(0o600)
        assert_refused(pam_totp("config", "check", user=user), "Permission denied")
    assert CONFIGURATION.exists()


def test_binary_file_is_a_fault_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_bytes(bytes(range(256)) * 10)
    answer = pam_totp("config", "check", str(path))
    assert answer.code == 1
    assert "Traceback" not in answer.errors
