# SPDX-License-Identifier: MIT
"""Other ssh clients than OpenSSH's: PuTTY's plink and paramiko."""

import subprocess
from collections.abc import Callable, Iterator

import paramiko
import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import HOST_KEY, SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation, Dialogue

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
PASSWORD, CODE = "Password: ", "Verification code: "
BEGIN = (r"Press Return to begin session\.", "")  # what plink asks after every login
CONNECT = """\
import sys
import paramiko

port, user, key = sys.argv[1:]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(
    "server", int(port), user, key_filename=key, allow_agent=False, look_for_keys=False
)
print(client.exec_command("id -un")[1].read().decode(), end="")
client.close()
"""


def fingerprint() -> str:
    command = ["ssh-keygen", "-l", "-E", "sha256", "-f", f"{HOST_KEY}.pub"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return listed.split()[1]


@pytest.fixture
def plink(code_server: SshServer, on_terminal: Converse) -> Converse:
    """`plink(user, answers)`: the password is typed first."""

    def log_in(user: User, answers: Dialogue) -> Conversation:
        server = ["-P", str(code_server.port), "-hostkey", fingerprint(), "server"]
        argv = ["plink", "-ssh", "-l", user.name, *server, "id -un"]
        return on_terminal(argv, [(PASSWORD, user.password), *answers])

    return log_in


@pytest.fixture
def transport(code_server: SshServer) -> Iterator[paramiko.Transport]:
    connection = paramiko.Transport(("server", code_server.port))
    connection.start_client()
    yield connection
    connection.close()


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


class Answers:
    """paramiko's handler: gives the answers in order, and remembers the questions."""

    def __init__(self, answers: list[str]) -> None:
        self._left = iter(answers)
        self.questions: list[tuple[str, bool]] = []  # what was asked, and whether typing is shown

    def __call__(self, title: str, text: str, questions: list[tuple[str, bool]]) -> list[str]:
        self.questions += questions
        return [next(self._left) for _ in questions]


def test_plink_logs_in_with_the_password_and_the_code(
    user: User, enrolled: Enroll, plink: Converse, syslog: SystemLog
) -> None:
    login = plink(user, [(CODE, enrolled(user).fresh_code()), BEGIN])
    assert login.status == 0
    assert login.prompts[:2] == [f"| {PASSWORD}", f"| {CODE}"]
    assert login.transcript.endswith(f"\n{user.name}\n")
    assert reasons(syslog) == ["totp"]


def test_plink_asks_again_after_an_incorrect_code(
    user: User, enrolled: Enroll, plink: Converse, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    codes = [(CODE, credential.incorrect_code()), (CODE, credential.fresh_code())]
    assert plink(user, [*codes, BEGIN]).status == 0
    assert reasons(syslog) == ["wrong-code", "totp"]


def test_plink_is_refused_after_three_incorrect_codes(
    user: User, enrolled: Enroll, plink: Converse, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    # It begins the next login by itself, on the same connection, with the password.
    login = plink(user, [*wrong, (PASSWORD, CTRL_C)])
    assert login.status != 0
    assert login.transcript.count("Access denied") == 1
    assert reasons(syslog) == ["wrong-code"] * 3


def test_plink_without_a_code_where_none_is_needed(user: User, plink: Converse) -> None:
    login = plink(user, [BEGIN])
    assert login.status == 0
    assert login.prompts[:1] == [f"| {PASSWORD}"]


def test_paramiko_answers_the_questions_one_by_one(
    user: User, enrolled: Enroll, transport: paramiko.Transport
) -> None:
    credential = enrolled(user)
    codes = [credential.incorrect_code(), credential.fresh_code()]
    answers = Answers([user.password, *codes])
    assert transport.auth_interactive(user.name, answers) == []  # nothing more to pass
    assert answers.questions == [(PASSWORD, False), (CODE, True), (CODE, True)]
    channel = transport.open_session()
    channel.exec_command("id -un")
    assert channel.makefile().read() == f"{user.name}\n".encode()
    assert channel.recv_exit_status() == 0


def test_paramiko_is_refused_after_three_incorrect_codes(
    user: User, enrolled: Enroll, transport: paramiko.Transport, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    wrong = [credential.incorrect_code(index) for index in range(3)]
    with pytest.raises(paramiko.AuthenticationException):
        transport.auth_interactive(user.name, Answers([user.password, *wrong]))
    assert not transport.is_authenticated()
    assert reasons(syslog) == ["wrong-code"] * 3


def test_paramikos_connect_with_a_password_alone_is_refused_and_its_password_not_logged(
    user: User, enrolled: Enroll, code_server: SshServer, syslog: SystemLog
) -> None:
    """It gives the password as the answer to whatever is asked."""
    enrolled(user)
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        with pytest.raises(paramiko.AuthenticationException):
            client.connect(
                "server",
                code_server.port,
                user.name,
                user.password,
                allow_agent=False,
                look_for_keys=False,
            )
    assert reasons(syslog) == ["bad-input"]  # the verifier never sees it, and it is no try
    assert any("the answer is the password" in line.message for line in syslog.lines())
    assert not any(user.password in line.message for line in syslog.lines())


def test_paramikos_connect_with_a_key_asks_for_the_code_on_the_terminal(
    user: User,
    enrolled: Enroll,
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    on_terminal: Converse,
) -> None:
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    server = start_sshd(shipped_settings("key-then-code"))
    key = user.new_ssh_key()
    argv = [
        "/usr/bin/python3",
        "-W",
        "ignore",
        "-c",
        CONNECT,
        str(server.port),
        user.name,
        str(key),
    ]
    login = on_terminal(argv, [(CODE, enrolled(user).fresh_code())])
    assert login.status == 0
    assert login.transcript.endswith(f"\n{user.name}\n")
