# SPDX-License-Identifier: MIT
"""Enrolling at the first login over real ssh: OpenSSH's client, PuTTY's plink, paramiko."""

import re
import shlex
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko
import pytest

from tests.commands.commands import configured, secret_of, tree
from tests.enrollment.rasterise import DARK_THEME, LIGHT_THEME, rasterise
from tests.enrollment.test_qr import Terminal, read_code, terminal
from tests.host.accounts import User
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.phone import (
    AT_LOGIN,
    KEY,
    MESSAGE,
    NOT_ENROLLED,
    Phone,
    kept_uri,
    keys_on,
    recovery_codes_on,
    scan,
    shows_qr_code,
)
from tests.host.programs import RECORDS, STATE
from tests.host.ssh_client import client_options
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation, Dialogue, converse
from tests.host.test_other_clients import BEGIN, Answers, fingerprint, transport

__all__ = ["terminal", "transport"]  # fixtures

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password: ", "Verification code: "
ROWS, COLUMNS = 24, 80


@pytest.fixture(autouse=True)
def at_login() -> Iterator[Path]:
    with configured(AT_LOGIN, settled=True) as path:
        yield path


@pytest.fixture
def key_log_in(
    pam_services: PamServices, start_sshd: Callable[..., SshServer], ssh: Converse
) -> Converse:
    """A key or the password, and then the code, in one stack."""
    pam_services.replace_password("sshd", shipped_lines("key-or-password-then-code"))
    return partial(ssh, server=start_sshd(shipped_settings("key-or-password-then-code")))


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def assert_not_enrolled(user: User) -> None:
    assert tree(user.home / ".config") == {}
    assert not (STATE / "enforced" / str(user.uid)).exists()


def test_first_login_enrolls_and_the_second_asks_without_a_qr_code(
    user: User, log_in: Converse, syslog: SystemLog, tmp_path: Path
) -> None:
    phone = Phone(user)
    first = log_in(user, [(PASSWORD, user.password), (CODE, phone.type_code)])
    assert first.status == 0
    assert MESSAGE in first.transcript
    assert scan(first.transcript, tmp_path) == kept_uri(secret_of(user))
    assert phone.credential
    assert keys_on(first.transcript) == [phone.credential.secret]
    codes = recovery_codes_on(first.transcript)
    assert len(codes) == 10
    assert first.transcript.endswith(f"\n{user.name}\n")
    assert reasons(syslog) == ["not-enrolled", "totp"]
    second = log_in(user, [(PASSWORD, user.password), (CODE, phone.credential.fresh_code())])
    assert second.status == 0
    assert keys_on(second.transcript) == [] and not shows_qr_code(second.transcript)
    assert recovery_codes_on(second.transcript) == []
    third = log_in(user, [(PASSWORD, user.password), (CODE, codes[0])])
    assert third.status == 0
    assert "9 recovery codes left." in third.transcript


def test_incorrect_codes_are_refused_and_the_next_login_shows_another_key(
    user: User, log_in: Converse, syslog: SystemLog
) -> None:
    phone = Phone(user)
    wrong = [(PASSWORD, user.password), *[(CODE, phone.type_incorrect_code)] * 3]
    refused = log_in(user, wrong)
    assert refused.status != 0
    assert refused.transcript.count("Key: ") == 1  # not again before the second prompt
    assert_not_enrolled(user)
    assert reasons(syslog) == ["not-enrolled", "wrong-code"]  # the same one three times
    again = log_in(user, [(PASSWORD, user.password), (CODE, phone.type_code)])
    assert again.status == 0
    assert keys_on(again.transcript) not in ([], keys_on(refused.transcript))


def test_connection_that_is_lost_before_the_code_enrolls_with_what_was_scanned_then(
    user: User, log_in: Converse
) -> None:
    phone = Phone(user)
    lost = log_in(
        user, [(PASSWORD, user.password), (CODE, phone.type_incorrect_code), (CODE, CTRL_C)]
    )
    assert lost.status != 0 and phone.credential
    code = phone.credential.fresh_code()
    again = log_in(user, [(PASSWORD, user.password), (CODE, code)])
    assert again.status == 0
    assert keys_on(again.transcript) not in ([], keys_on(lost.transcript))
    assert phone.credential.secret in kept_uri(secret_of(user))


def test_wrong_password_is_shown_nothing(user: User, log_in: Converse, syslog: SystemLog) -> None:
    refused = log_in(user, [(PASSWORD, "wrong")])
    assert refused.status != 0
    assert keys_on(refused.transcript) == [] and CODE not in refused.transcript
    assert not (RECORDS / "pending" / str(user.uid)).exists()
    assert syslog.decisions() == []


@pytest.mark.parametrize(
    ("above", "asked"), [(["auth required pam_unix.so nodelay"], True), ([], False)]
)
def test_stack_that_a_wrong_password_does_not_stop_shows_it_no_key(
    user: User,
    pam_services: PamServices,
    ssh: Converse,
    sshd: SshServer,
    syslog: SystemLog,
    above: list[str],
    asked: bool,
) -> None:
    """`required` goes on after a failure; and a stack of our line alone asks for no password."""
    pam_services.replace_password("sshd", [*above, "auth required pam_totp.so tries=1"])
    password = [(PASSWORD, "wrong")] if asked else []
    refused = ssh(user, [*password, (CODE, "123456")])
    assert refused.status != 0
    assert NOT_ENROLLED in refused.transcript
    assert keys_on(refused.transcript) == [] and not shows_qr_code(refused.transcript)
    assert not (RECORDS / "pending" / str(user.uid)).exists()
    assert syslog.decisions()[0]["detail"] == "no first factor is proven, so no QR code is shown"
    assert_not_enrolled(user)


def test_right_password_in_a_stack_that_goes_on_enrolls(
    user: User, pam_services: PamServices, ssh: Converse, sshd: SshServer
) -> None:
    lines = ["auth required pam_unix.so nodelay", "auth required pam_totp.so"]
    pam_services.replace_password("sshd", lines)
    assert ssh(user, [(PASSWORD, user.password), (CODE, Phone(user).type_code)]).status == 0
    assert secret_of(user).exists()


def test_key_shows_the_qr_code_and_so_does_the_password_in_the_same_stack(
    make_user: Callable[..., User], key_log_in: Converse, tmp_path: Path
) -> None:
    by_key, by_password = make_user(), make_user()
    login = key_log_in(by_key, [(CODE, Phone(by_key).type_code)], key=by_key.new_ssh_key())
    assert login.status == 0
    assert scan(login.transcript, tmp_path) == kept_uri(secret_of(by_key))
    assert len(recovery_codes_on(login.transcript)) == 10
    dialogue = [(PASSWORD, by_password.password), (CODE, Phone(by_password).type_code)]
    login = key_log_in(by_password, dialogue)
    assert login.status == 0
    assert scan(login.transcript, tmp_path) == kept_uri(secret_of(by_password))
    refused = key_log_in(make_user(), [(PASSWORD, "wrong")])
    assert refused.status != 0 and keys_on(refused.transcript) == []


def test_key_alone_and_then_the_code(
    user: User, pam_services: PamServices, start_sshd: Callable[..., SshServer], ssh: Converse
) -> None:
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    server = start_sshd(shipped_settings("key-then-code"))
    phone = Phone(user)
    login = ssh(user, [(CODE, phone.type_code)], key=user.new_ssh_key(), server=server)
    assert login.status == 0
    assert phone.credential and phone.credential.secret in kept_uri(secret_of(user))


def test_system_store(user: User, log_in: Converse, at_login: Path) -> None:
    at_login.write_text(f"{AT_LOGIN}store: system\n")
    login = log_in(user, [(PASSWORD, user.password), (CODE, Phone(user).type_code)])
    assert login.status == 0
    kept = STATE / "secrets" / user.name / "secret"
    assert keys_on(login.transcript)[0] in kept_uri(kept)
    assert not secret_of(user).exists()


def test_secret_is_not_in_the_log_of_anybody(
    user: User, log_in: Converse, code_server: SshServer, syslog: SystemLog
) -> None:
    phone = Phone(user)
    assert log_in(user, [(PASSWORD, user.password), (CODE, phone.type_code)]).status == 0
    assert phone.credential
    lines = [line.message for line in syslog.lines()] + code_server.log().splitlines()
    for word in (phone.credential.secret, user.password):
        assert not any(word in line for line in lines)


def test_qr_code_in_a_window_of_80x24_reads_as_the_uri_with_all_else_visible(
    user: User, code_server: SshServer, terminal: Terminal, tmp_path: Path
) -> None:
    command = ["/usr/bin/ssh", *client_options(code_server), "-l", user.name, "server"]
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    terminal.tmux("new-session", "-d", *size, shlex.join(command))
    wait_for(terminal, PASSWORD.strip())
    terminal.tmux("send-keys", "-l", "--", user.password)
    terminal.tmux("send-keys", "Enter")
    window = wait_for(terminal, CODE.strip())
    shown = terminal.tmux("capture-pane", "-p", "-N")
    lines = [line.rstrip() for line in shown.split("\n")][:ROWS]
    lines = lines[: lines.index(CODE.rstrip()) + 1]
    assert f"({user.name}@server) {MESSAGE}" in lines[:2]
    assert KEY.fullmatch(lines[-2])
    assert all(lines)
    uri, on_light = (
        read_code(rasterise(window, theme, COLUMNS, ROWS), tmp_path / "window.png")
        for theme in (DARK_THEME, LIGHT_THEME)
    )
    assert uri == on_light
    pending = (RECORDS / "pending" / str(user.uid)).read_text(encoding="ascii")
    assert uri == pending.split()[0].partition("&added=")[0]
    phone = Phone(user)
    terminal.tmux("send-keys", "-l", "--", phone.type_code(shown))
    terminal.tmux("send-keys", "Enter")
    wait_for(terminal, f"{user.name}@server:~$")
    assert kept_uri(secret_of(user)) == uri
    shown = terminal.tmux("capture-pane", "-p", "-S", "-100")
    assert len(set(recovery_codes_on(shown))) == 10  # sshd may say twice what PAM said once
    terminal.tmux("kill-server")


def wait_for(terminal: Terminal, text: str) -> str:
    """The window, colours and all, once it shows a text."""
    deadline = time.monotonic() + 30
    while text not in (window := terminal.tmux("capture-pane", "-p")):
        assert time.monotonic() < deadline, f"no {text!r}:\n{window}"
        time.sleep(0.05)
    return terminal.tmux("capture-pane", "-e", "-p", "-N")


def test_plink_enrolls(
    user: User, code_server: SshServer, on_terminal: Converse, tmp_path: Path
) -> None:
    """With a command it shows nothing that comes after the last prompt; with a shell it does."""
    server = ["-P", str(code_server.port), "-hostkey", fingerprint(), "server"]
    dialogue = [(PASSWORD, user.password), (CODE, Phone(user).type_code), BEGIN]
    shell = [(rf"{user.name}@server:~\$", "exit")]
    login = on_terminal(["plink", "-ssh", "-l", user.name, *server], [*dialogue, *shell])
    assert login.status == 0
    shown = re.sub(r"^\| ", "", login.transcript, flags=re.MULTILINE)
    assert scan(shown, tmp_path) == kept_uri(secret_of(user))
    assert len(set(recovery_codes_on(shown))) == 10


def test_paramiko_enrolls(user: User, transport: paramiko.Transport, tmp_path: Path) -> None:
    phone, shown = Phone(user), []

    def answer(title: str, text: str, questions: list[tuple[str, bool]]) -> list[str]:
        shown.append(text + "".join(question for question, _ in questions))
        answers = []
        for question, _ in questions:
            is_password = question.endswith(PASSWORD)
            answers.append(user.password if is_password else phone.type_code(shown[-1]))
        return answers

    assert transport.auth_interactive(user.name, answer) == []
    assert scan("\n".join(shown), tmp_path) == kept_uri(secret_of(user))
    banner = transport.get_banner() or b""
    assert len(recovery_codes_on(banner.decode("ascii"))) == 10


def test_paramiko_with_a_wrong_password_is_shown_nothing(
    user: User, transport: paramiko.Transport
) -> None:
    answers = Answers(["wrong"] * 3)
    with pytest.raises((paramiko.AuthenticationException, StopIteration)):
        transport.auth_interactive(user.name, answers)
    assert keys_on("\n".join(question for question, _ in answers.questions)) == []


def test_client_in_another_locale_still_shows_the_key(
    user: User, log_in: Converse, code_server: SshServer
) -> None:
    environment = {"LC_ALL": "C", "PATH": "/usr/bin", "TERM": "dumb"}
    command = ["/usr/bin/ssh", *client_options(code_server), "-l", user.name, "server", "id -un"]
    dialogue: Dialogue = [(PASSWORD, user.password), (CODE, Phone(user).type_code)]
    login = converse(command, dialogue, variables=environment)
    assert login.status == 0
    assert KEY.search(login.transcript)
