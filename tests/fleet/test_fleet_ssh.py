# SPDX-License-Identifier: MIT
"""Whole logins over real ssh and su where the users' secrets are in the store of a fleet."""

import subprocess
from base64 import b32decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records.host import outage
from tests.fleet.database import Person
from tests.fleet.login_host import HOST, SETTINGS, LoginHost
from tests.fleet.test_login_in_fleet import is_marked, mark
from tests.host.accounts import User
from tests.host.phone import keys_on, recovery_codes_on, shows_qr_code
from tests.host.programs import CONFIGURATION
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password: ", "Verification code: "
AWAY = "The server that checks codes does not answer. Try again, or enter an outage code."


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_a_code_is_accepted_and_in_the_next_login_refused(
    login_host: LoginHost, user: User, now: float, log_in: Converse, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    code = person.code(now)
    assert log_in(user, [(PASSWORD, user.password), (CODE, code)]).status == 0
    again = log_in(user, [(PASSWORD, user.password), (CODE, code), (CODE, code), (CODE, code)])
    assert again.status == 255
    assert reasons(syslog) == ["totp", "reused-code"]


def test_while_the_store_is_away_a_code_is_refused_and_an_outage_code_accepted_once(
    login_host: LoginHost, user: User, now: float, log_in: Converse, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    code, *_ = outage.new_codes()
    login_host.stop()
    tries = [(CODE, person.code(now)), (CODE, person.code(now, 1)), (CODE, person.code(now, -1))]
    refused = log_in(user, [(PASSWORD, user.password), *tries])
    assert refused.status == 255
    assert refused.transcript.count(AWAY) >= 2  # before the prompt, and after the code
    accepted = log_in(user, [(PASSWORD, user.password), (CODE, code)])
    assert accepted.status == 0
    assert log_in(user, [(PASSWORD, user.password), *[(CODE, code)] * 3]).status == 255
    assert reasons(syslog) == [
        *["store-unavailable"] * 3,
        "outage-code",
        "store-unavailable",
    ]


def test_a_grant_of_roots_needs_no_code_while_the_store_is_away(
    login_host: LoginHost, user: User, log_in: Converse, syslog: SystemLog
) -> None:
    login_host.stop()
    subprocess.run(["pam-totp", "grant", user.name, "--once"], check=True, capture_output=True)
    assert log_in(user, [(PASSWORD, user.password)]).status == 0
    assert reasons(syslog)[-1] == "granted"


@pytest.fixture
def at_login(login_host: LoginHost) -> Iterator[None]:
    """A host where people may enroll at their login."""
    may = "UPDATE totp.host SET may_enroll = %s WHERE name = %s"
    login_host.database.admin.execute(may, [True, HOST])
    CONFIGURATION.write_text(f"{SETTINGS}enrollment: at-login\n")
    yield
    login_host.database.admin.execute(may, [False, HOST])


class Phone:
    """Shows the code of the key that is on the screen."""

    def __init__(self, now: float) -> None:
        self._now = now
        self.person = Person("", b"")

    def type_code(self, screen: str) -> str:
        self.person = Person("", b32decode(keys_on(screen)[-1]))
        return self.person.code(self._now)

    def type_incorrect_code(self, screen: str) -> str:
        self.type_code(screen)
        return self.person.incorrect_code(self._now)


@pytest.mark.usefixtures("at_login")
def test_a_first_login_enrolls_for_all_hosts(
    login_host: LoginHost, user: User, now: float, log_in: Converse, syslog: SystemLog
) -> None:
    phone = Phone(now)
    first = log_in(user, [(PASSWORD, user.password), (CODE, phone.type_code)])
    assert first.status == 0
    assert shows_qr_code(first.transcript)
    codes = recovery_codes_on(first.transcript)
    assert len(codes) == 10
    assert is_marked(user)
    assert not (user.home / ".config").exists()
    again = [(CODE, phone.person.code(now))] * 3
    assert log_in(user, [(PASSWORD, user.password), *again]).status == 255
    third = log_in(user, [(PASSWORD, user.password), (CODE, phone.person.code(now, 1))])
    assert third.status == 0
    assert keys_on(third.transcript) == []
    assert reasons(syslog) == ["not-enrolled", "totp", "reused-code", "totp"]
    by_recovery_code = log_in(user, [(PASSWORD, user.password), (CODE, codes[0])])
    assert "9 recovery codes left." in by_recovery_code.transcript


@pytest.mark.usefixtures("at_login")
def test_an_incorrect_code_enrolls_nobody(
    login_host: LoginHost, user: User, now: float, log_in: Converse, syslog: SystemLog
) -> None:
    phone = Phone(now)
    refused = log_in(user, [(PASSWORD, user.password), *[(CODE, phone.type_incorrect_code)] * 3])
    assert refused.status == 255
    assert reasons(syslog) == ["not-enrolled", "wrong-code"]
    assert not is_marked(user)


@pytest.mark.usefixtures("at_login")
def test_a_user_with_a_mark_whom_the_store_does_not_know_is_shown_no_secret(
    login_host: LoginHost, user: User, now: float, log_in: Converse, syslog: SystemLog
) -> None:
    mark(user)
    refused = log_in(user, [(PASSWORD, user.password), *[(CODE, "123456")] * 3])
    assert refused.status == 255
    assert keys_on(refused.transcript) == []
    assert reasons(syslog) == ["secret-missing"]


@pytest.mark.usefixtures("at_login")
def test_on_a_host_that_is_not_marked_for_it_no_secret_is_shown(
    login_host: LoginHost, user: User, now: float, log_in: Converse, syslog: SystemLog
) -> None:
    login_host.database.admin.execute("UPDATE totp.host SET may_enroll = false")
    refused = log_in(user, [(PASSWORD, user.password), *[(CODE, "123456")] * 3])
    assert refused.status == 255
    assert keys_on(refused.transcript) == []
    asked, verdict = syslog.decisions()
    assert "users need an invitation to enroll at this host" in asked["detail"]
    assert verdict["reason"] == "not-enrolled"


def test_nobody_finds_what_the_agent_knows_in_its_environment_or_arguments(
    login_host: LoginHost,
) -> None:
    agent = login_host.restart()
    about = Path(f"/proc/{agent.pid}")
    password = login_host.database.passwords[HOST].encode()
    for name in ("environ", "cmdline"):
        assert password not in (about / name).read_bytes()
