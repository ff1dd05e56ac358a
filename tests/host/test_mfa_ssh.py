# SPDX-License-Identifier: MIT
"""The script `mfa` beside real logins over ssh: one record of used codes, one count of tries."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import Answer, assert_refused, pam_totp
from tests.enrollment.person import CODE_PROMPT, Phone, Start
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.oath import OathCredential
from tests.host.pictures import read_qr_code
from tests.host.programs import MFA
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"


@pytest.fixture
def app(user: User, credential: Credential) -> OathCredential:
    return OathCredential(user, credential.secret)


def mfa(*arguments: str, user: User | None = None, typed: str = "") -> Answer:
    return pam_totp(*arguments, user=user, typed=typed, program=MFA)


def log_in_with(log_in: Converse, user: User, code: str, *more: str) -> int:
    dialogue = [(PASSWORD, user.password), *((CODE, each) for each in (code, *more))]
    return log_in(user, dialogue).status


def test_code_of_an_ssh_login_is_refused_by_the_script(
    user: User, app: OathCredential, log_in: Converse
) -> None:
    code = app.fresh_code()
    assert log_in_with(log_in, user, code) == 0
    answer = mfa("--user", user.name, "-a", "phone", typed=f"{code}\n")
    assert_refused(answer, "refused (reused-code)")


def test_code_that_the_script_accepted_is_refused_at_an_ssh_login(
    user: User, app: OathCredential, log_in: Converse, syslog: SystemLog
) -> None:
    code = app.fresh_code()
    assert mfa("--user", user.name, "-a", "phone", typed=f"{code}\n").code == 0
    assert log_in_with(log_in, user, code, "", "") != 0
    assert [each["reason"] for each in syslog.decisions()][:2] == ["totp", "reused-code"]
    assert log_in_with(log_in, user, app.fresh_code()) == 0


def test_incorrect_codes_at_the_script_keep_an_ssh_login_waiting(
    user: User, credential: Credential, log_in: Converse, syslog: SystemLog
) -> None:
    for index in range(5):
        code = credential.incorrect_code(index)
        assert mfa("--user", user.name, "-a", "phone", "-o", code).code == 1
    assert log_in_with(log_in, user, credential.fresh_code(), "", "") != 0
    assert syslog.decisions()[5]["reason"] == "throttled"


@pytest.mark.parametrize("by", ["user", "root"])
def test_device_that_the_script_created_logs_in_over_ssh(
    user: User, start: Start, log_in: Converse, by: str
) -> None:
    caller, picture = user, Path(user.home, "phone.png")
    words = ["-c", "-n", "phone", "-i", "Example", "--png", str(picture)]
    if by == "root":
        caller = User("root", "", 0, 0, Path("/root"))
        words += ["--user", user.name]
    person = start(caller, *words, program=MFA)
    person.read_until(CODE_PROMPT)
    phone = Phone(read_qr_code(picture))
    person.type_line(phone.code())
    assert person.finish().status == 0
    assert log_in_with(log_in, user, OathCredential(user, phone.secret).fresh_code()) == 0


def test_users_own_script_has_a_record_of_its_own_and_says_so(
    user: User, app: OathCredential, log_in: Converse
) -> None:
    folder = Path("/run/user") / str(user.uid)
    folder.mkdir(mode=0o700)
    os.chown(folder, user.uid, user.gid)
    code = app.fresh_code()
    assert log_in_with(log_in, user, code) == 0
    answer = mfa("-a", "phone", "-o", code, user=user)
    assert answer.code == 0
    assert "Only root can see whether a login has used it." in answer.output
    assert mfa("-a", "phone", "-o", code, user=user).code == 1
