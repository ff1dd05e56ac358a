# SPDX-License-Identifier: MIT
"""Codes that are sent, over real ssh, at a real console and through su: by a real gammu-smsd-inject
and a real mail server."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.sending.outbox import (
    CODE,
    NUMBER,
    SHOWN_NUMBER,
    TextMessage,
    gateway,
    give_contact,
    logged,
    wait_for,
)

Converse = Callable[..., Conversation]
Messages = Callable[[], list[TextMessage]]
PASSWORD, PROMPT = "Password:", "Verification code:"


@pytest.fixture
def key_then_code(
    pam_services: PamServices, start_sshd: Callable[..., SshServer], ssh: Converse
) -> Converse:
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    return partial(ssh, server=start_sshd(shipped_settings("key-then-code")))


def test_a_user_without_an_app_is_sent_a_code_that_is_accepted(
    user: User, log_in: Converse, messages: Messages, syslog: SystemLog
) -> None:
    give_contact(user, ("sms", NUMBER))

    def typed(_screen: str) -> str:
        message = wait_for(messages)
        assert message.number == NUMBER
        return message.code

    login = log_in(user, [(PASSWORD, user.password), (PROMPT, typed)])
    assert login.status == 0
    assert f"A code is on its way to {SHOWN_NUMBER}." in login.transcript
    decisions = [(each["verdict"], each["reason"], each["device"]) for each in logged(syslog, user)]
    assert decisions == [("ask", "sent-code", "sms"), ("accept", "sent-code", "sms")]
    assert NUMBER not in str(logged(syslog, user))


def test_a_code_is_refused_at_the_next_login(
    user: User, log_in: Converse, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    code = [(PROMPT, lambda _: wait_for(messages).code)]
    assert log_in(user, [(PASSWORD, user.password), *code]).status == 0
    used = messages()[0].code
    again = log_in(user, [(PASSWORD, user.password), (PROMPT, used), (PROMPT, ""), (PROMPT, "")])
    assert again.status != 0


def test_a_user_with_an_app_is_sent_a_code_only_on_request(
    user: User, credential: Credential, log_in: Converse, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))

    def ask(screen: str) -> str:
        assert f"To have a code sent to {SHOWN_NUMBER}, enter sms." in screen
        assert messages() == []
        return "sms"

    def typed(screen: str) -> str:
        assert f"A code is on its way to {SHOWN_NUMBER}." in screen
        return wait_for(messages).code

    login = log_in(user, [(PASSWORD, user.password), (PROMPT, ask), (PROMPT, typed)])
    assert login.status == 0
    of_app = log_in(user, [(PASSWORD, user.password), (PROMPT, credential.fresh_code())])
    assert of_app.status == 0
    assert len(messages()) == 1


def test_a_code_can_be_asked_for_again_at_the_next_prompt(
    user: User, log_in: Converse, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))

    def again(screen: str) -> str:
        assert f"A code is on its way to {SHOWN_NUMBER}." in screen
        return "sms"

    code = (PROMPT, lambda _: wait_for(messages, 3).code)
    login = log_in(user, [(PASSWORD, user.password), (PROMPT, again), (PROMPT, again), code])
    assert login.status == 0
    assert login.transcript.count("A code is on its way") == 3


def test_a_code_by_mail_comes_through_a_real_mail_server(
    user: User, log_in: Converse, syslog: SystemLog
) -> None:
    give_contact(user, ("mail", f"{user.name}@localhost"))
    mailbox = Path("/var/mail", user.name)

    def typed(screen: str) -> str:
        assert f"A code is on its way to {user.name[0]}…@localhost." in screen
        until = time.monotonic() + 10
        while not (mailbox.exists() and (found := CODE.findall(mailbox.read_text()))):
            assert time.monotonic() < until, "no mail came"
            time.sleep(0.02)
        return str(found[-1])

    login = log_in(user, [(PASSWORD, user.password), (PROMPT, typed)])
    assert login.status == 0
    mail = mailbox.read_text()
    assert "\nAuto-Submitted: auto-generated\n" in mail
    assert CODE.search(mail.partition("\n\n")[0]) is None  # of a header, which servers log
    assert logged(syslog, user)[-1]["device"] == "mail"


def test_a_public_key_is_a_first_factor_too(
    user: User, key_then_code: Converse, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    code = [(PROMPT, lambda _: wait_for(messages).code)]
    login = key_then_code(user, code, key=user.new_ssh_key())
    assert login.status == 0


def test_a_code_is_accepted_at_the_console(
    user: User, on_terminal: Converse, pam_services: PamServices, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    pam_services.add("login")
    dialogue = [
        ("server login: ", user.name),
        (PASSWORD, user.password),
        (PROMPT, lambda _: wait_for(messages).code),
        (rf"{user.name}@server:~\$", "exit"),
    ]
    login = on_terminal(["login"], dialogue)
    assert f"A code is on its way to {SHOWN_NUMBER}." in login.transcript
    assert login.status == 0


def test_a_code_is_accepted_by_sudo(
    user: User, on_terminal: Converse, pam_services: PamServices, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    pam_services.add("sudo")
    user.may_sudo()
    code = (PROMPT, lambda _: wait_for(messages).code)
    password = (r"password for .*: ", user.password)
    done = on_terminal(["sudo", "id", "-u"], [password, code], user=user)
    assert done.status == 0
    assert "\n0\n" in done.transcript


def test_a_gateway_that_hangs_holds_up_no_login(
    user: User, credential: Credential, log_in: Converse
) -> None:
    give_contact(user, ("sms", NUMBER))
    with gateway("sleep 60"):
        dialogue = [(PASSWORD, user.password), (PROMPT, "sms"), (PROMPT, credential.fresh_code())]
        began = time.monotonic()
        login = log_in(user, dialogue)
    assert login.status == 0
    assert time.monotonic() - began < 15  # of the 60 that it takes


def test_a_dead_gateway_is_said_and_other_methods_still_work(
    user: User, credential: Credential, log_in: Converse, syslog: SystemLog
) -> None:
    give_contact(user, ("sms", NUMBER))
    with gateway("echo no carrier >&2; exit 75"):
        dialogue = [(PASSWORD, user.password), (PROMPT, "sms"), (PROMPT, credential.fresh_code())]
        login = log_in(user, dialogue)
    assert login.status == 0
    assert "No code could be sent. Try again later." in login.transcript
    failed = logged(syslog, user)[0]
    assert (failed["reason"], failed["device"]) == ("send-failed", "sms")
    assert failed["detail"] == "gateway failed: exit code 75 (no carrier)"
