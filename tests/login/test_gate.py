# SPDX-License-Identifier: MIT
"""The installed gate: no code is needed only by a user proven not to be enrolled."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED, STATE
from tests.host.system_log import SystemLog
from tests.login.programs import gate, verify


def test_user_who_never_enrolled_needs_no_code_and_the_log_says_so(
    user: User, syslog: SystemLog
) -> None:
    assert gate(user.name) == NO_CODE_NEEDED
    (decision,) = syslog.decisions()
    assert decision == {
        "verdict": "skip",
        "reason": "not-enrolled",
        "user": user.name,
        "service": "sshd",
        "rhost": "192.0.2.7",
        "device": "",
    }


def test_enrolled_user_is_asked_and_nothing_is_logged_yet(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    enrolled(user)
    assert gate(user.name) == ASK
    assert syslog.lines() == []


@pytest.mark.parametrize("removed", ["secret", "folder", "config", "home"])
def test_user_who_gave_a_code_once_is_asked_for_good(
    user: User, enrolled: Callable[..., Credential], removed: str
) -> None:
    assert verify(user.name, enrolled(user).fresh_code()) == ACCEPTED
    folder = user.home / ".config" / "pam-totp"
    paths = {
        "secret": folder / "secret",
        "folder": folder,
        "config": folder.parent,
        "home": user.home,
    }
    if removed == "secret":
        paths[removed].unlink()
    else:
        shutil.rmtree(paths[removed])
    assert gate(user.name) == ASK


def test_secret_removed_before_the_first_code_is_not_enrolled(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    (user.home / ".config" / "pam-totp" / "secret").unlink()
    assert gate(user.name) == NO_CODE_NEEDED


@pytest.mark.parametrize("content", ["", "nonsense\n", "# comment\n"])
def test_user_with_a_secret_that_cannot_be_used_is_asked(user: User, content: str) -> None:
    user.give(user.home / ".config" / "pam-totp" / "secret", content)
    assert gate(user.name) == ASK


@pytest.mark.parametrize("name", ["", ".config", ".config/pam-totp"])
def test_user_whose_folders_cannot_be_looked_into_is_asked(user: User, name: str) -> None:
    user.give(user.home / ".config" / "pam-totp" / "other", "")
    (user.home / name).chmod(0)
    assert gate(user.name) == ASK


def test_user_without_a_home_is_asked(user: User) -> None:
    shutil.rmtree(user.home)
    assert gate(user.name) == ASK


def test_unknown_user_is_asked(syslog: SystemLog) -> None:
    assert gate("nobody-of-that-name") == ASK
    assert syslog.lines() == []


def test_lost_state_folder_asks_everyone_and_accepts_codes(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    syslog: SystemLog,
) -> None:
    alice, bob = make_user(), make_user()
    credential = enrolled(alice)
    away = Path(f"{STATE}-away")
    STATE.rename(away)
    try:
        assert gate(alice.name) == gate(bob.name) == ASK
        assert verify(alice.name, credential.fresh_code()) == ACCEPTED
        assert verify(bob.name, "123456") != ACCEPTED
    finally:
        away.rename(STATE)
    decisions = syslog.decisions()
    assert [each["verdict"] for each in decisions] == ["ask", "ask", "accept", "refuse"]
    accepted, refused = decisions[2:]
    assert accepted["detail"].startswith("cannot record this login with a code: ")
    assert refused["reason"] == "state-unavailable"
