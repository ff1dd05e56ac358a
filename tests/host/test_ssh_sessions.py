# SPDX-License-Identifier: MIT
"""What a login with a code leads to over real ssh: the session of a login without one."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.accounts import User, run
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_client import client_options
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password: ", "Verification code: "
# Number and target of every descriptor, and the variables; what differs between any two logins
# is left out: numbers of sockets, processes and ports.
SHOW_SESSION = "find /proc/self/fd -printf '%f %l\\n'; env | grep -v ^SSH_"


def test_nothing_but_the_questions_reaches_the_user(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    credential = enrolled(user)
    wrong, right = credential.incorrect_code(), credential.fresh_code()
    login = log_in(user, [(PASSWORD, user.password), (CODE, wrong), (CODE, right)], options=["-q"])
    name = f"({user.name}@server)"
    assert login.transcript.replace("\r", "") == (
        f"{name} {PASSWORD}\n{name} {CODE}{wrong}\n{name} {CODE}{right}\n{user.name}\n"
    )


def test_no_code_secret_or_password_is_logged(
    user: User,
    enrolled: Callable[..., Credential],
    log_in: Converse,
    code_server: SshServer,
    syslog: SystemLog,
) -> None:
    credential = enrolled(user)
    wrong, right = credential.incorrect_code(), credential.fresh_code()
    assert log_in(user, [(PASSWORD, user.password), (CODE, user.password)]).status == 255
    answers = [(CODE, f"{user.password}."), (CODE, wrong), (CODE, right)]
    assert log_in(user, [(PASSWORD, user.password), *answers]).status == 0
    log = code_server.log() + "".join(line.message for line in syslog.lines())
    assert user.name in log
    for spoken in (user.password, credential.secret, wrong, right):
        assert spoken not in log


def test_descriptors_and_variables_are_those_of_a_login_without_codes(
    user: User,
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    ssh: Converse,
) -> None:
    server = start_sshd(shipped_settings("password-then-code"))

    def session(*answers: tuple[str, str]) -> str:
        dialogue = [(PASSWORD, user.password), *answers]
        login = ssh(user, dialogue, command=SHOW_SESSION, options=["-q"], server=server)
        assert login.status == 0
        shown = login.transcript.replace("\r", "").splitlines()[len(dialogue) :]
        return re.sub(r"\[\d+\]|/proc/\d+", "", "\n".join(shown))

    stock = session()
    pam_services.add("sshd", shipped_lines("password-then-code"))
    assert session() == stock  # not enrolled
    assert session((CODE, enrolled(user).fresh_code())) == stock
    assert "0 pipe:" in stock
    assert f"HOME={user.home}" in stock


def test_modules_after_ours_get_the_password_and_never_the_code(
    user: User, enrolled: Callable[..., Credential], pam_services: PamServices, ssh: Converse
) -> None:
    given, script = Path("/root/authtok"), Path("/root/keyring")
    script.write_text(f"#!/bin/sh\ncat >{given}\n", encoding="ascii")
    script.chmod(0o700)
    keyring = f"auth optional pam_exec.so expose_authtok seteuid {script}"
    pam_services.add("sshd", [*shipped_lines("password-then-code"), keyring])
    assert ssh(user, [(PASSWORD, user.password)]).status == 0
    assert given.read_text(encoding="ascii") == user.password
    given.unlink()
    credential = enrolled(user)
    answers = [(CODE, credential.incorrect_code()), (CODE, credential.fresh_code())]
    assert ssh(user, [(PASSWORD, user.password), *answers]).status == 0
    assert given.read_text(encoding="ascii") == user.password
    given.unlink()
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    assert ssh(user, [(PASSWORD, user.password), *wrong]).status == 255
    assert given.read_text(encoding="ascii") == user.password
    given.unlink()


def test_scp_copies_after_the_code(
    user: User,
    enrolled: Callable[..., Credential],
    code_server: SshServer,
    on_terminal: Converse,
) -> None:
    content = Path("/etc/hosts").read_bytes()
    argv = ["/usr/bin/scp", *client_options(code_server), "/etc/hosts", f"{user.name}@server:copy"]
    code = enrolled(user).fresh_code()
    assert on_terminal(argv, [(PASSWORD, user.password), (CODE, code)]).status == 0
    assert (user.home / "copy").read_bytes() == content


def test_sftp_copies_after_the_code(
    user: User,
    enrolled: Callable[..., Credential],
    code_server: SshServer,
    on_terminal: Converse,
) -> None:
    content = Path("/etc/hosts").read_bytes()
    argv = ["/usr/bin/sftp", *client_options(code_server), f"{user.name}@server"]
    commands = [("sftp>", "put /etc/hosts copy"), ("sftp>", "bye")]
    code = enrolled(user).fresh_code()
    assert on_terminal(argv, [(PASSWORD, user.password), (CODE, code), *commands]).status == 0
    assert (user.home / "copy").read_bytes() == content


def test_a_forced_command_runs_only_after_the_code(
    user: User,
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    ssh: Converse,
) -> None:
    pam_services.add("sshd", shipped_lines("password-then-code"))
    forced = f"Match User {user.name}\n    ForceCommand echo forced >> ran; cat ran"
    server = start_sshd(shipped_settings("password-then-code") + forced)
    credential = enrolled(user)
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    assert ssh(user, [(PASSWORD, user.password), *wrong], server=server).status == 255
    dialogue = [(PASSWORD, user.password), (CODE, credential.fresh_code())]
    login = ssh(user, dialogue, server=server)
    assert login.status == 0
    assert login.transcript.endswith("\nforced\n")
    assert (user.home / "ran").read_text(encoding="ascii") == "forced\n"


def test_a_user_without_a_shell_gives_the_code_and_gets_none(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    run("usermod", "--shell", "/usr/sbin/nologin", user.name)
    login = log_in(user, [(PASSWORD, user.password), (CODE, enrolled(user).fresh_code())])
    assert login.status == 1
    assert login.transcript.endswith("This account is currently not available.\n")


@pytest.mark.parametrize("status", [0, 3, 254])
def test_the_exit_code_of_the_command_comes_back(
    user: User, enrolled: Callable[..., Credential], log_in: Converse, status: int
) -> None:
    dialogue = [(PASSWORD, user.password), (CODE, enrolled(user).fresh_code())]
    assert log_in(user, dialogue, command=f"exit {status}").status == status


def test_a_shell_on_a_terminal_opens_after_the_code(
    user: User, enrolled: Callable[..., Credential], log_in: Converse
) -> None:
    answers = [(PASSWORD, user.password), (CODE, enrolled(user).fresh_code())]
    shell = [(r"\$", "id -un"), (r"\$", "exit 3")]
    login = log_in(user, [*answers, *shell], command=None)
    assert login.status == 3
    assert f"\n{user.name}\n" in login.transcript
