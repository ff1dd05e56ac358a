# SPDX-License-Identifier: MIT
"""The password, then the code, over real ssh: the shipped line and the shipped sshd settings."""

import signal
from collections.abc import Callable
from pathlib import Path

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.ssh_client import client_options
from tests.host.ssh_server import SshServer
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, Conversation, Session

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password: ", "Verification code: "


def secret_file(user: User) -> Path:
    return user.home / ".config" / "pam-totp" / "secret"


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_a_used_code_is_refused_in_the_next_login_and_the_next_code_accepted(
    user: User, enrolled: Callable[..., Credential], log_in: Converse, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    code = credential.fresh_code()
    assert log_in(user, [(PASSWORD, user.password), (CODE, code)]).status == 0
    again = log_in(user, [(PASSWORD, user.password), (CODE, code), (CODE, code), (CODE, code)])
    assert again.status == 255
    next_code = credential.fresh_code()
    assert log_in(user, [(PASSWORD, user.password), (CODE, next_code)]).status == 0
    assert reasons(syslog) == ["totp", "reused-code", "totp"]


def test_a_code_may_be_typed_with_a_space(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    code = enrolled(user).fresh_code()
    typed = f"{code[:3]} {code[3:]}"
    assert log_in(user, [(PASSWORD, user.password), (CODE, typed)]).status == 0


def test_what_is_no_code_at_all_is_asked_again(
    user: User, enrolled: Callable[..., Credential], log_in: Converse, syslog: SystemLog
) -> None:
    enrolled(user)
    # The client takes Ctrl-D for an empty answer, as it does Enter.
    answers = [(CODE, CTRL_D), (CODE, "abcdef"), (CODE, "9" * 600)]
    assert log_in(user, [(PASSWORD, user.password), *answers]).status == 255
    assert reasons(syslog) == ["bad-input"] * 3


def test_an_unknown_user_is_asked_and_refused_as_any_other(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    enrolled(user)
    known, unknown = (log_in(name, [(PASSWORD, "wrong")]) for name in (user.name, "nobody-here"))
    assert unknown.status == known.status == 255
    assert unknown.transcript == known.transcript.replace(user.name, "nobody-here")


def test_ctrl_c_at_the_code_ends_the_login_and_uses_up_nothing(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    code = enrolled(user).fresh_code()
    interrupted = log_in(user, [(PASSWORD, user.password), (CODE, CTRL_C)])
    assert interrupted.status == 128 + signal.SIGINT
    assert not interrupted.transcript.endswith(f"{user.name}\n")
    assert log_in(user, [(PASSWORD, user.password), (CODE, code)]).status == 0


def test_the_code_of_any_device_is_accepted_and_the_log_names_the_device(
    user: User, enrolled: Callable[..., Credential], log_in: Converse, syslog: SystemLog
) -> None:
    phone = enrolled(user, device="phone")
    line = secret_file(user).read_text(encoding="utf-8")
    tablet = enrolled(user, device="tablet")
    user.give(secret_file(user), line + secret_file(user).read_text(encoding="utf-8"))
    for device in (tablet, phone):
        dialogue = [(PASSWORD, user.password), (CODE, device.fresh_code())]
        assert log_in(user, dialogue).status == 0
    assert [decision["device"] for decision in syslog.decisions()] == ["tablet", "phone"]


def test_two_users_log_in_at_once_each_with_the_own_code(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], code_server: SshServer
) -> None:
    users = [make_user(), make_user()]
    codes = [enrolled(each).fresh_code() for each in users]
    argv = ["/usr/bin/ssh", *client_options(code_server), "-l"]
    sessions = [Session([*argv, each.name, "server", "id -un"], None, {}) for each in users]
    try:
        for each, session in zip(users, sessions, strict=True):
            session.answer(PASSWORD, each.password)
        for session, code in zip(sessions, reversed(codes), strict=True):
            session.answer(CODE, code)  # the other user's
        for session, code in zip(reversed(sessions), reversed(codes), strict=True):
            session.answer(CODE, code)
        logins = [session.finish() for session in sessions]
    finally:
        for session in sessions:
            session.close()
    assert [login.status for login in logins] == [0, 0]
    for each, login in zip(users, logins, strict=True):
        assert login.transcript.endswith(f"\n{each.name}\n")


def test_a_removed_secret_refuses_once_a_code_has_been_given(
    user: User, enrolled: Callable[..., Credential], log_in: Converse, syslog: SystemLog
) -> None:
    code = enrolled(user).fresh_code()
    assert log_in(user, [(PASSWORD, user.password), (CODE, code)]).status == 0
    secret_file(user).unlink()
    answers = [(CODE, code)] * 3
    assert log_in(user, [(PASSWORD, user.password), *answers]).status == 255
    assert reasons(syslog) == ["totp", "secret-missing"]
