# SPDX-License-Identifier: MIT
"""Real programs that know one prompt: a mail program over IMAP, and ssh's `password` method."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.imap_server import ImapServer
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import SshServer
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Enroll = Callable[..., Credential]
Converse = Callable[..., Conversation]
PASSWORD_METHOD = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n"


@pytest.fixture
def imap(pam_services: PamServices, start_imap_server: Callable[[], ImapServer]) -> ImapServer:
    pam_services.replace_password("dovecot", shipped_lines("one-prompt"))
    return start_imap_server()


@pytest.fixture
def log_in(
    pam_services: PamServices, start_sshd: Callable[..., SshServer], ssh: Converse
) -> Converse:
    """`ssh` with sshd's `password` method, which answers all that PAM asks with the password."""
    pam_services.replace_password("sshd", shipped_lines("one-prompt"))
    options = ["-o", "PreferredAuthentications=password"]
    return partial(ssh, server=start_sshd(PASSWORD_METHOD), options=options)


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def prompt(user: User) -> str:
    return f"{user.name}@server's password: "


def test_mail_program_logs_in_with_the_password_and_the_code_once(
    user: User, enrolled: Enroll, imap: ImapServer, syslog: SystemLog
) -> None:
    typed = user.password + enrolled(user).fresh_code()
    assert imap.accepts(user, typed)
    assert not imap.accepts(user, typed)
    decisions = syslog.decisions()
    assert [decision["reason"] for decision in decisions] == ["totp", "reused-code"]
    assert [decision["service"] for decision in decisions] == ["dovecot"] * 2


def test_mail_program_without_the_correct_code_or_the_password_is_refused(
    user: User, enrolled: Enroll, imap: ImapServer, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    code = credential.fresh_code()
    for typed in (user.password, user.password + credential.incorrect_code(), f"wrong{code}", code):
        assert not imap.accepts(user, typed)
    assert reasons(syslog) == ["bad-input", "wrong-code"]
    assert imap.accepts(user, user.password + code)
    assert code not in imap.log() + "\n".join(line.message for line in syslog.lines())


@pytest.fixture
def called_by_a_number(user: User) -> Iterator[User]:
    """useradd refuses such a name, and directories of universities have them."""
    number = "204711"
    files = [Path("/etc/passwd"), Path("/etc/shadow")]
    before = [file.read_text() for file in files]
    for file, text in zip(files, before, strict=True):
        file.write_text(text.replace(f"\n{user.name}:", f"\n{number}:"))
    yield dataclasses.replace(user, name=number)
    for file, text in zip(files, before, strict=True):
        file.write_text(text)


def test_mail_server_that_answers_with_the_users_number_keeps_nobody_waiting(
    called_by_a_number: User,
    enrolled: Enroll,
    pam_services: PamServices,
    start_imap_server: Callable[[], ImapServer],
    syslog: SystemLog,
) -> None:
    """It answers a question that would be shown with the user's name."""
    user = called_by_a_number
    enrolled(user)
    pam_services.add("dovecot", shipped_lines("password-then-code"))
    imap = start_imap_server()
    for _ in range(2):
        assert not imap.accepts(user, user.password)
    assert reasons(syslog) == ["bad-input"] * 2
    assert syslog.wait_for("the answer is the user's name").ident == "auth"


def test_mail_program_of_who_has_not_enrolled_needs_the_password_alone(
    user: User, imap: ImapServer, syslog: SystemLog
) -> None:
    assert imap.accepts(user, user.password)
    assert not imap.accepts(user, "wrong")
    assert reasons(syslog) == ["not-enrolled"]


def test_sshs_password_method_takes_the_password_and_the_code(
    user: User, enrolled: Enroll, log_in: Converse, syslog: SystemLog
) -> None:
    code = enrolled(user).fresh_code()
    login = log_in(user, [(prompt(user), user.password + code)])
    assert (login.status, login.prompts) == (0, [prompt(user)])
    assert login.transcript.endswith(f"\n{user.name}\n")
    again = log_in(user, [(prompt(user), user.password + code)])
    assert (again.status, again.prompts) == (255, [prompt(user)])
    assert reasons(syslog) == ["totp", "reused-code"]


def test_sshs_password_method_refuses_without_the_correct_code_or_the_password(
    user: User, enrolled: Enroll, log_in: Converse, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    code = credential.fresh_code()
    for typed in (user.password, user.password + credential.incorrect_code(), f"wrong{code}"):
        login = log_in(user, [(prompt(user), typed)])
        assert login.status == 255
        assert "Permission denied" in login.transcript
    assert reasons(syslog) == ["bad-input", "wrong-code"]


def test_sshs_password_method_accepts_the_password_alone_of_a_user_who_has_not_enrolled(
    user: User, log_in: Converse, syslog: SystemLog
) -> None:
    assert log_in(user, [(prompt(user), user.password)]).status == 0
    assert reasons(syslog) == ["not-enrolled"]


def test_code_after_a_wrong_password_is_not_kept_for_sshs_next_try_on_the_same_connection(
    user: User, enrolled: Enroll, log_in: Converse, syslog: SystemLog
) -> None:
    """sshd calls pam_authenticate for each through one handle."""
    code = enrolled(user).fresh_code()
    three = partial(log_in, options=["-o", "NumberOfPasswordPrompts=3"])
    tries = [f"wrong{code}", user.password, user.password + code]
    login = three(user, [(prompt(user), typed) for typed in tries])
    assert (login.status, login.prompts) == (0, [prompt(user)] * 3)
    assert reasons(syslog) == ["bad-input", "totp"]


def test_grant_for_once_is_used_by_one_login_over_ssh(
    user: User, enrolled: Enroll, log_in: Converse, syslog: SystemLog
) -> None:
    enrolled(user)
    pam_totp("grant", user.name, "--once")
    for typed, status in (("wrong", 255), (user.password, 0), (user.password, 255)):
        assert log_in(user, [(prompt(user), typed)]).status == status
    assert reasons(syslog) == ["granted", "bad-input"]


def test_same_line_serves_clients_that_ask_one_by_one(
    user: User,
    enrolled: Enroll,
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    ssh: Converse,
) -> None:
    """keyboard-interactive: sshd authenticates in a child, and sets credentials itself."""
    pam_services.replace_password("sshd", shipped_lines("one-prompt"))
    server = start_sshd()
    asked = r"Password: "
    typed = user.password + enrolled(user).fresh_code()
    assert ssh(user, [(asked, typed)], server=server).status == 0
    assert ssh(user, [(asked, user.password)], server=server).status == 255
