# SPDX-License-Identifier: MIT
"""Hardware tokens at real logins: over ssh, at sudo, with the settings that others have."""

from collections.abc import Callable

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.pam_services import PamServices
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.host.tokens import Token

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"


def reasons(log: SystemLog) -> list[str]:
    return [decision["reason"] for decision in log.decisions()]


@pytest.mark.parametrize("too_often", [0, 10, 11])
def test_token_that_was_pressed_too_often_logs_in_over_ssh(
    user: User, token: Token, log_in: Converse, syslog: SystemLog, too_often: int
) -> None:
    login = log_in(user, [(PASSWORD, user.password), (CODE, token.code(too_often))])
    assert login.status == 0
    (decision,) = syslog.decisions()
    assert (decision["reason"], decision["device"]) == ("hotp", "token")
    assert token.recorded() == too_often


def test_one_that_was_pressed_thirteen_times_logs_in_after_resync(
    user: User, token: Token, log_in: Converse, syslog: SystemLog
) -> None:
    codes = [token.code(13), token.code(14), ""]
    dialogue = [(PASSWORD, user.password), *((CODE, code) for code in codes)]
    assert log_in(user, dialogue).status != 0
    assert reasons(syslog)[:2] == ["wrong-code"] * 2
    command = syslog.decisions()[0]["detail"].partition("; run: pam-totp ")[2]
    words = command.replace("USER", user.name).split()
    typed = f"{token.code(15)}\n{token.code(16)}\n"
    assert pam_totp(*words, typed=typed).code == 0
    assert log_in(user, [(PASSWORD, user.password), (CODE, token.code(17))]).status == 0


def test_used_code_is_refused_and_the_next_one_is_accepted_in_one_login(
    user: User, token: Token, log_in: Converse, syslog: SystemLog
) -> None:
    assert log_in(user, [(PASSWORD, user.password), (CODE, token.code(0))]).status == 0
    dialogue = [(PASSWORD, user.password), (CODE, token.code(0)), (CODE, token.code(1))]
    assert log_in(user, dialogue).status == 0
    assert reasons(syslog) == ["hotp", "reused-code", "hotp"]


def test_token_is_asked_for_by_sudo(
    user: User, token: Token, pam_services: PamServices, on_terminal: Converse, syslog: SystemLog
) -> None:
    pam_services.add("sudo")
    user.may_sudo()
    command = user.command(["/usr/bin/sudo", "-k", "/usr/bin/id", "-un"])
    dialogue = [(r"\[sudo\] password for .*:", user.password), (CODE, token.code(2))]
    done = on_terminal(command, dialogue)
    assert done.status == 0
    assert reasons(syslog)[-1] == "hotp"


def test_check_says_to_root_what_a_login_does_and_to_a_user_what_can_be_known(
    user: User, token: Token
) -> None:
    answer = pam_totp("check", user=user, typed=f"{token.code(40)}\n")
    assert answer.code == 0
    assert "This is a code of 'token', with the counter 40." in answer.output
    assert "would be accepted" not in answer.output
    assert "Only root can see which counters were used" in answer.output
    refused = pam_totp("check", user=user, typed=f"{token.incorrect_code()}\n")
    assert refused.code == 1 or "with the counter" in refused.output
    assert token.recorded() is None


def test_status_and_devices_name_the_kind(user: User, token: Token) -> None:
    token.enroll(counter=7)
    status = pam_totp("status", user=user)
    assert "'server:" in status.output
    assert "SHA1, 6 digits, by counter, from 7 on" in status.output
    listed = pam_totp("devices", user=user)
    assert "hotp" in listed.output
    uri = pam_totp("devices", "show", "token", "--uri", user=user, typed=f"{user.password}\n")
    assert uri.output.startswith("otpauth://hotp/server:")
    assert "&counter=7&" in uri.output


def test_reset_forgets_the_counters(user: User, token: Token, log_in: Converse) -> None:
    assert log_in(user, [(PASSWORD, user.password), (CODE, token.code(0))]).status == 0
    answer = pam_totp("reset", "--yes", user.name)
    assert f"removed {token.record}" in answer.output
    assert not token.record.exists()


def test_token_s_code_is_no_proof_where_only_root_knows_whether_it_was_used(
    user: User, token: Token
) -> None:
    refused = pam_totp("recovery-codes", user=user, typed=f"{token.code(0)}\n" * 3)
    assert refused.code == 1
    assert pam_totp("recovery-codes", user=user, typed=f"{user.password}\n").code == 0
