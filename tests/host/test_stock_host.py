# SPDX-License-Identifier: MIT
"""The host before anybody enables codes: if these fail, nothing below says anything about ours."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.pam_services import ONE_LINE, SERVICES, PamServices
from tests.host.ssh_server import SshServer
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_D, Conversation, UnexpectedDialogue
from tests.stack import libpam

Converse = Callable[..., Conversation]


def test_ssh_takes_the_password_alone(user: User, ssh: Converse, syslog: SystemLog) -> None:
    login = ssh(user, [("Password:", user.password)])
    assert login.status == 0
    assert login.prompts == [f"({user.name}@server) Password: "]
    assert login.transcript.endswith(f"\n{user.name}\n")
    opened = syslog.wait_for(f"session opened for user {user.name}")
    assert (opened.facility, opened.severity) == ("authpriv", "info")
    assert opened.ident in ("sshd", "sshd-session")  # Debian 12 and 13


def test_ssh_refuses_a_wrong_password(user: User, ssh: Converse, sshd: SshServer) -> None:
    login = ssh(user, [("Password:", "wrong")])
    assert login.status == 255
    assert "Permission denied" in login.transcript
    assert f"Failed keyboard-interactive/pam for {user.name}" in sshd.log()


def test_ssh_takes_a_key_alone(user: User, ssh: Converse) -> None:
    login = ssh(user, key=user.new_ssh_key())
    assert (login.status, login.prompts) == (0, [])


def test_another_sshd_has_its_own_settings(
    user: User, ssh: Converse, start_sshd: Callable[..., SshServer]
) -> None:
    server = start_sshd(f"Match User {user.name}\n    ForceCommand echo forced")
    login = ssh(user, [("Password:", user.password)], server=server)
    assert login.transcript.endswith("\nforced\n")


def test_login_takes_the_password_and_gives_a_shell(user: User, on_terminal: Converse) -> None:
    login = on_terminal(
        ["login"],
        [("login:", user.name), ("Password:", user.password), (r"\$", "id -un"), (r"\$", "exit")],
    )
    assert login.status == 0
    assert f"\n{user.name}\n" in login.transcript


def test_su_takes_the_other_users_password(
    make_user: Callable[..., User], on_terminal: Converse
) -> None:
    alice, bob = make_user(), make_user()
    dialogue = [("Password:", bob.password)]
    assert on_terminal(["su", bob.name, "-c", "id -un"], dialogue, user=alice).status == 0
    refused = on_terminal(["su", bob.name, "-c", "id -un"], [("Password:", "wrong")], user=alice)
    assert refused.status == 1
    assert "Authentication failure" in refused.transcript


def test_sudo_takes_the_users_own_password(user: User, on_terminal: Converse) -> None:
    user.may_sudo()
    prompt = rf"\[sudo\] password for {user.name}:"
    allowed = on_terminal(["sudo", "id", "-un"], [(prompt, user.password)], user=user)
    assert (allowed.status, allowed.transcript.splitlines()[-1]) == (0, "root")
    refused = on_terminal(["sudo", "-k", "id"], [(prompt, CTRL_D)], user=user)
    assert refused.status == 1


def test_a_prompt_that_nobody_expects_fails_a_test_at_once(
    user: User, on_terminal: Converse
) -> None:
    with pytest.raises(UnexpectedDialogue, match="asked 'Password: ' instead of 'the end'"):
        on_terminal(["su", user.name], user=user)
    with pytest.raises(UnexpectedDialogue, match="ended before it asked 'code'"):
        on_terminal(["true"], [("code", "1")])


def test_a_changed_service_is_put_back() -> None:
    before = {path.name: path.read_bytes() for path in SERVICES.iterdir()}
    services = PamServices()
    services.add("sshd")
    assert f"@include common-auth\n{ONE_LINE}\n" in (SERVICES / "sshd").read_text(encoding="utf-8")
    services.replace_password("sudo")
    services.write("new", "auth required pam_deny.so\n")
    services.restore()
    assert {path.name: path.read_bytes() for path in SERVICES.iterdir()} == before


@pytest.mark.parametrize("drive", [libpam.authenticate, libpam.authenticate_apart])
def test_libpam_drives_a_stack_of_its_own(
    user: User, tmp_path: Path, drive: Callable[..., libpam.Outcome]
) -> None:
    stack = "auth required pam_echo.so hello\nauth required pam_unix.so nodelay\n"
    folder = libpam.write_services(tmp_path / "pam", {"console": stack})
    right = drive(folder, "console", user.name, [user.password], items={"rhost": "192.0.2.1"})
    assert (right.authenticate, right.setcred) == (libpam.PAM_SUCCESS, libpam.PAM_SUCCESS)
    assert (right.prompts, right.messages) == (["Password: "], ["hello"])
    assert (right.items["user"], right.items["rhost"]) == (user.name, "192.0.2.1")
    wrong = drive(folder, "console", user.name, ["wrong"])
    assert (wrong.authenticate, wrong.setcred) == (libpam.PAM_AUTH_ERR, -1)
    assert drive(folder, "console", user.name, [libpam.NO_ANSWER]).authenticate != 0
    assert drive(folder, "console", user.name, [libpam.HANG_UP]).authenticate != 0
