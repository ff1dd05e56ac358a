# SPDX-License-Identifier: MIT
"""The README's chapter "Roll it out", followed step by step over real ssh.

Everybody is on this host's loopback, which has 16 million addresses: the office is 127.20.0.0/16.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import CONFIGURATION
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

README = Path(__file__).resolve().parents[2] / "README.md"
CHAPTER = re.compile(r"^## Roll it out.*?(?=^## )", re.MULTILINE | re.DOTALL)
POLICY = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
DAY = 86400
PASSWORD, CODE = "Password:", "Verification code:"
OFFICE, OUTSIDE, BACKUP_HOST = "127.20.1.2", "127.0.0.4", "127.0.0.7"
HERE = {"10.20.0.0/16": "127.20.0.0/16", "192.0.2.7": BACKUP_HOST, "user: borg": "user: borg"}


@pytest.fixture(scope="module")
def chapter() -> str:
    found = CHAPTER.search(README.read_text(encoding="utf-8"))
    assert found
    return found[0]


def policy(chapter: str, days: int) -> str:
    """The chapter's own settings, for this host, with a deadline so many days from now."""
    found = POLICY.search(chapter)
    assert found
    text = found[1]
    for there, here in HERE.items():
        assert there in text
        text = text.replace(there, here)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * DAY))
    text, count = re.subn(r"\d{4}-\d{2}-\d{2}", day, text)
    assert count == 1
    return text


@pytest.fixture
def ssh_from(
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    ssh: Callable[..., Conversation],
) -> Callable[..., Conversation]:
    """`ssh_from(OFFICE, user, [(PASSWORD, …)])`: "in five minutes", and a login from there."""
    pam_services.add("sshd")
    server = start_sshd(shipped_settings("password-then-code"))

    def log_in(address: str, user: User, dialogue: list[tuple[str, str]]) -> Conversation:
        return ssh(user, dialogue, server=server, options=["-b", address])

    return log_in


def says(user: User, address: str) -> str:
    done = pam_totp("explain", user.name, "--from", address, "--json")
    assert done.code == 0, done.errors
    found = json.loads(done.output)
    return str(found["outcome"])


def test_commands_of_the_chapter_are_those_that_are_walked_here(chapter: str) -> None:
    named = set(re.findall(r"pam-totp (config check|explain \w+|users|grant \w+)", chapter))
    assert named == {
        "config check",
        "explain borg",
        "explain alice",
        "users",
        "grant bob",
    }


def test_office_and_service_account_are_exempt_and_everybody_else_has_until_the_day(
    chapter: str,
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    ssh_from: Callable[..., Conversation],
    syslog: SystemLog,
) -> None:
    alice, bob, backup = make_user(), make_user(), make_user("borg")
    phone = enrolled(alice)
    with configured(policy(chapter, 40)):
        checked = pam_totp("config", "check")
        assert checked.code == 0
        assert checked.output.startswith(f"{CONFIGURATION}: valid\n")
        assert says(backup, BACKUP_HOST) == says(alice, OFFICE) == "no code is asked for"
        assert says(alice, OUTSIDE) == "the settings ask for a code"
        assert says(bob, OUTSIDE) == "no code is asked for"
        for user, address in ((backup, BACKUP_HOST), (alice, OFFICE), (bob, OFFICE)):
            login = ssh_from(address, user, [(PASSWORD, user.password)])
            assert (login.status, login.transcript.count("will be required")) == (0, 0)
        assert {each["reason"] for each in syslog.decisions()} == {"exempt"}
        asked = [(PASSWORD, alice.password), (CODE, phone.fresh_code())]
        assert ssh_from(OUTSIDE, alice, asked).status == 0
        syslog.clear()
        assert ssh_from(OUTSIDE, bob, [(PASSWORD, bob.password)]).status == 0
        assert [each["reason"] for each in syslog.decisions()] == ["grace"]
        listed = pam_totp("users").output
        assert alice.name in listed and bob.name not in listed


def test_on_the_day_who_is_late_is_refused_and_a_grant_allows_them_a_login_to_enroll(
    chapter: str,
    make_user: Callable[..., User],
    ssh_from: Callable[..., Conversation],
    syslog: SystemLog,
) -> None:
    bob, backup = make_user(), make_user("borg")
    with configured(policy(chapter, 0)):
        assert "refused" in says(bob, OUTSIDE) and "refused" in says(backup, OUTSIDE)
        refused = ssh_from(OUTSIDE, bob, [(PASSWORD, bob.password), *[(CODE, "123456")] * 3])
        assert refused.status == 255
        assert "you have not enrolled. Contact your administrator." in refused.transcript
        assert {each["reason"] for each in syslog.decisions()} == {"not-enrolled"}
        assert pam_totp("grant", bob.name, "--for", "30m", "--once").code == 0
        assert ssh_from(OUTSIDE, bob, [(PASSWORD, bob.password)]).status == 0
        assert ssh_from(OFFICE, bob, [(PASSWORD, bob.password)]).status == 0
