# SPDX-License-Identifier: MIT
"""What sshd's own settings make of it: the shipped ones, stock ones and careless ones."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import SERVICES, PamServices, shipped_lines
from tests.host.ssh_client import asked
from tests.host.ssh_server import HOST_KEY, SSHD, SshServer, accepts, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
StartSshd = Callable[..., SshServer]
PASSWORD, CODE = "Password: ", "Verification code: "


def test_one_line_is_enough_where_sshd_asks_questions_already(
    user: User, enrolled: Callable[..., Credential], pam_services: PamServices, ssh: Converse
) -> None:
    pam_services.add("sshd", ["auth required pam_totp.so"])
    login = ssh(user, [(PASSWORD, user.password), (CODE, enrolled(user).fresh_code())])
    assert (login.status, login.prompts) == (0, asked(user, PASSWORD, CODE))


@pytest.mark.parametrize(
    "name", ["password-then-code", "key-then-code", "key-or-password-then-code"]
)
def test_the_shipped_settings_win_over_debians_own(host_key: None, name: str) -> None:
    shipped = shipped_settings(name)
    drop_in = Path("/etc/ssh/sshd_config.d/pam-totp.conf")
    drop_in.write_text(shipped, encoding="utf-8")
    try:
        command = [SSHD, "-T", "-f", "/etc/ssh/sshd_config", "-h", str(HOST_KEY)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        drop_in.unlink()
    effective = done.stdout.lower().splitlines()
    settings = [line.lower() for line in shipped.splitlines() if not line.startswith("#")]
    assert settings
    assert [setting for setting in settings if setting not in effective] == []


def test_a_key_does_not_replace_the_password_where_the_password_is_required(
    user: User, enrolled: Enroll, log_in: Converse
) -> None:
    credential = enrolled(user)
    answers = [(PASSWORD, user.password), (CODE, credential.fresh_code())]
    login = log_in(user, answers, key=user.new_ssh_key())
    assert (login.status, login.prompts) == (0, asked(user, PASSWORD, CODE))


def test_settings_that_forget_to_require_the_key_make_no_code_the_only_factor(
    make_user: Callable[..., User],
    enrolled: Enroll,
    pam_services: PamServices,
    start_sshd: StartSshd,
    ssh: Converse,
    syslog: SystemLog,
) -> None:
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    careless = start_sshd("KbdInteractiveAuthentication yes\nPasswordAuthentication yes")
    alice, bob = make_user(), make_user()
    enrolled(alice)
    for name in (alice, bob, "nobody-here"):
        # No code is asked; what is left is sshd's own password method, which is refused as well.
        login = ssh(name, [("password:", "any")], server=careless)
        assert login.status == 255
    assert syslog.decisions() == []


def test_sshs_password_method_refuses_enrolled_users(
    user: User,
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    ssh: Converse,
    syslog: SystemLog,
) -> None:
    pam_services.add("sshd", shipped_lines("password-then-code"))
    server = start_sshd("PasswordAuthentication yes\nKbdInteractiveAuthentication no")
    enrolled(user)
    assert ssh(user, [("password:", user.password)], server=server).status == 255
    # That method answers no question that is shown while answered: for us, nobody answers.
    assert [decision["reason"] for decision in syslog.decisions()] == ["bad-input"]


@pytest.fixture
def another_name() -> Iterator[Path]:
    """A link to sshd."""
    link = Path("/usr/local/sbin/sshd-lab")
    link.symlink_to(SSHD)
    yield link
    link.unlink()


def test_a_service_of_another_name_does_not_believe_in_keys(
    another_name: Path,
    user: User,
    enrolled: Enroll,
    pam_services: PamServices,
    start_sshd: StartSshd,
    ssh: Converse,
    syslog: SystemLog,
) -> None:
    """A link to sshd is another PAM service; OpenSSH 9.8 on has a setting for it instead."""
    pam_services.replace_password("sshd", shipped_lines("key-or-password-then-code"))
    pam_services.write("sshd-lab", (SERVICES / "sshd").read_text(encoding="utf-8"))
    settings = shipped_settings("key-or-password-then-code")
    if accepts("PAMServiceName sshd-lab"):
        server = start_sshd(f"PAMServiceName sshd-lab\n{settings}")
    else:
        server = start_sshd(settings, program=str(another_name))
    code = enrolled(user).fresh_code()
    dialogue = [(PASSWORD, user.password), (CODE, code)]
    login = ssh(user, dialogue, key=user.new_ssh_key(), server=server)
    assert (login.status, login.prompts) == (0, asked(user, PASSWORD, CODE))
    assert [decision["service"] for decision in syslog.decisions()] == ["sshd-lab"]
