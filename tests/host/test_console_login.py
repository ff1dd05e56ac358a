# SPDX-License-Identifier: MIT
"""login(1) on a terminal, with the one line in the real /etc/pam.d/login."""

import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, HANG_UP, Conversation, Dialogue

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
NAME, PASSWORD, CODE = "server login: ", "Password: ", "Verification code: "


@pytest.fixture
def console(pam_services: PamServices, on_terminal: Converse) -> Converse:
    """`console(user, answers)`: name and password are typed first."""
    pam_services.add("login", shipped_lines("password-then-code"))

    def log_in(user: User, answers: Dialogue) -> Conversation:
        return on_terminal(["login"], [(NAME, user.name), (PASSWORD, user.password), *answers])

    return log_in


def ends_with_ctrl_c() -> bool:
    about = subprocess.run(["login", "--version"], input="", capture_output=True, text=True)
    return "util-linux" not in about.stdout


def in_a_shell(user: User) -> list[tuple[str, str]]:
    prompt = rf"{user.name}@server:~\$"
    return [(prompt, "id -un"), (prompt, "exit 3")]


def assert_shell_of(user: User, login: Conversation) -> None:
    assert login.status == 0  # login's own, whatever the shell's
    assert f"\n{user.name}\n" in login.transcript


def test_after_three_incorrect_codes_login_begins_anew(
    user: User, enrolled: Enroll, console: Converse
) -> None:
    credential = enrolled(user)
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    right = [(NAME, user.name), (PASSWORD, user.password), (CODE, credential.fresh_code())]
    login = console(user, [*wrong, *right, *in_a_shell(user)])
    assert_shell_of(user, login)
    assert "\nLogin incorrect\n" in login.transcript
    assert "rror" not in login.transcript


def test_ctrl_c_at_the_code_is_what_it_is_at_the_password_and_no_incorrect_code(
    user: User, enrolled: Enroll, console: Converse, on_terminal: Converse, syslog: SystemLog
) -> None:
    """It ends shadow's login (Debian 12). util-linux's (Debian 13) ignores the key at every prompt:
    it ends with Ctrl-D, or by itself a minute after its start."""
    enrolled(user)
    given_up = CTRL_C + CTRL_D
    if ends_with_ctrl_c():
        for login in (
            on_terminal(["login"], [(NAME, user.name), (PASSWORD, given_up)]),
            console(user, [(CODE, given_up)]),
        ):
            assert login.status == 128 + signal.SIGINT
        assert syslog.decisions() == []
    else:
        for login in (
            on_terminal(["login"], [(NAME, user.name), (PASSWORD, given_up), (NAME, HANG_UP)]),
            console(user, [(CODE, given_up), (NAME, HANG_UP)]),
        ):
            assert "\nLogin incorrect\n" in login.transcript
        assert [decision["reason"] for decision in syslog.decisions()] == ["bad-input"]


def test_ctrl_d_at_the_code_is_refused_at_once(
    user: User, enrolled: Enroll, console: Converse
) -> None:
    enrolled(user)
    login = console(user, [(CODE, CTRL_D), (NAME, HANG_UP)])
    assert login.prompts == [NAME, PASSWORD, CODE, NAME]
    assert "\nLogin incorrect\n" in login.transcript
