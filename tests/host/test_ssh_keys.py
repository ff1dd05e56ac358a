# SPDX-License-Identifier: MIT
"""A public key, then the code, over real ssh: the shipped snippets, with our module and without."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_client import asked
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
StartSshd = Callable[..., SshServer]
PASSWORD, CODE = "Password: ", "Verification code: "


@pytest.fixture
def key_then_code(pam_services: PamServices, start_sshd: StartSshd, ssh: Converse) -> Converse:
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    return partial(ssh, server=start_sshd(shipped_settings("key-then-code")))


@pytest.fixture
def without_module(pam_services: PamServices, start_sshd: StartSshd, ssh: Converse) -> Converse:
    pam_services.replace_password("sshd", shipped_lines("key-then-code-without-module"))
    return partial(ssh, server=start_sshd(shipped_settings("key-then-code")))


def incorrect_codes(credential: Credential) -> list[tuple[str, str]]:
    return [(CODE, credential.incorrect_code(index)) for index in range(3)]


def verdicts(syslog: SystemLog) -> list[tuple[str, str]]:
    return [(decision["verdict"], decision["reason"]) for decision in syslog.decisions()]


def test_a_key_and_then_the_code_are_accepted(
    user: User, enrolled: Enroll, key_then_code: Converse, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    login = key_then_code(user, [(CODE, credential.fresh_code())], key=user.new_ssh_key())
    assert (login.status, login.prompts) == (0, asked(user, CODE))
    (decision,) = syslog.decisions()
    assert decision == {
        "verdict": "accept",
        "reason": "totp",
        "user": user.name,
        "service": "sshd",
        "rhost": "127.0.0.1",
        "device": "phone",
    }


def test_a_key_and_incorrect_codes_are_refused(
    user: User, enrolled: Enroll, key_then_code: Converse, syslog: SystemLog
) -> None:
    login = key_then_code(user, incorrect_codes(enrolled(user)), key=user.new_ssh_key())
    assert (login.status, login.prompts) == (255, asked(user, CODE, CODE, CODE))
    assert verdicts(syslog) == [("refuse", "wrong-code")] * 3


def test_without_a_key_no_code_is_asked(
    user: User, enrolled: Enroll, key_then_code: Converse, syslog: SystemLog
) -> None:
    enrolled(user)
    login = key_then_code(user)
    assert (login.status, login.prompts) == (255, [])
    assert "Permission denied (publickey)." in login.transcript
    assert verdicts(syslog) == []


def test_a_key_alone_is_accepted_of_a_user_who_has_not_enrolled(
    user: User, key_then_code: Converse, syslog: SystemLog
) -> None:
    login = key_then_code(user, key=user.new_ssh_key())
    assert (login.status, login.prompts) == (0, [])
    assert verdicts(syslog) == [("skip", "not-enrolled")]


def test_stock_pam_exec_alone_asks_for_the_code_after_a_key(
    user: User, enrolled: Enroll, without_module: Converse, syslog: SystemLog
) -> None:
    credential, key = enrolled(user), user.new_ssh_key()
    login = without_module(user, [(PASSWORD, credential.fresh_code())], key=key)
    assert (login.status, login.prompts) == (0, asked(user, PASSWORD))
    assert without_module(user, [(PASSWORD, credential.incorrect_code())], key=key).status == 255
    assert without_module(user).prompts == []
    assert verdicts(syslog) == [("accept", "totp"), ("refuse", "wrong-code")]


def test_stock_pam_exec_alone_refuses_who_has_not_enrolled(
    user: User, without_module: Converse, syslog: SystemLog
) -> None:
    login = without_module(user, [(PASSWORD, user.password)], key=user.new_ssh_key())
    assert (login.status, login.prompts) == (255, asked(user, PASSWORD))
    assert verdicts(syslog) == [("refuse", "not-enrolled")]
