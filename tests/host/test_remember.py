# SPDX-License-Identifier: MIT
"""`remember`: over real ssh, and in one terminal session with sudo and su."""

import shlex
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.commands.commands import configured, new_recovery_codes, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.programs import RECORDS
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
PASSWORD, CODE = "Password: ", "Verification code: "


@pytest.fixture(autouse=True)
def remember() -> Iterator[None]:
    with configured("remember: 10m\n", settled=True):
        yield


@pytest.fixture
def key_log_in(
    pam_services: PamServices, start_sshd: Callable[..., SshServer], ssh: Converse
) -> Converse:
    pam_services.replace_password("sshd", shipped_lines("key-or-password-then-code"))
    return partial(ssh, server=start_sshd(shipped_settings("key-or-password-then-code")))


def age(user: User, seconds: int) -> None:
    path = RECORDS / "remembered" / str(user.uid)
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    path.write_text("".join(f"{name} {int(since) - seconds}\n" for name, since in lines))


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_second_login_with_the_key_needs_no_code_and_with_the_password_it_does(
    user: User, enrolled: Enroll, key_log_in: Converse, syslog: SystemLog
) -> None:
    credential, key = enrolled(user), user.new_ssh_key()
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=key).status == 0
    again = key_log_in(user, [], key=key)
    assert (again.status, again.prompts) == (0, [])
    assert reasons(syslog) == ["totp", "remembered"]
    dialogue = [(PASSWORD, user.password), (CODE, credential.fresh_code())]
    assert key_log_in(user, dialogue).status == 0


def test_scp_in_a_burst_is_asked_once_and_after_the_time_again(
    user: User, enrolled: Enroll, key_log_in: Converse
) -> None:
    credential, key = enrolled(user), user.new_ssh_key()
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=key).status == 0
    for _ in range(3):
        assert key_log_in(user, [], key=key).status == 0
    age(user, 600)
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=key).status == 0


def test_another_key_of_the_same_user_is_asked(
    make_user: Callable[..., User], enrolled: Enroll, key_log_in: Converse
) -> None:
    user, other = make_user(), make_user()
    credential, key, other_key = enrolled(user), user.new_ssh_key(), other.new_ssh_key()
    authorized = user.home / ".ssh" / "authorized_keys"
    public = other_key.with_name(f"{other_key.name}.pub").read_text(encoding="ascii")
    user.give(authorized, authorized.read_text(encoding="ascii") + public)
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=key).status == 0
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=other_key).status == 0
    assert key_log_in(user, [], key=key).status == 0


def test_password_alone_is_asked_at_every_login(
    user: User, enrolled: Enroll, log_in: Converse
) -> None:
    credential = enrolled(user)
    for _ in range(2):
        dialogue = [(PASSWORD, user.password), (CODE, credential.fresh_code())]
        assert log_in(user, dialogue).status == 0


def test_reset_forgets_it(user: User, enrolled: Enroll, key_log_in: Converse) -> None:
    credential, key = enrolled(user), user.new_ssh_key()
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=key).status == 0
    assert pam_totp("reset", "--yes", user.name).code == 0
    credential = enrolled(user, secret=credential.secret)
    assert key_log_in(user, [(CODE, credential.fresh_code())], key=key).status == 0


@pytest.mark.parametrize("program", ["sudo", "su"])
def test_in_one_terminal_session_a_code_is_asked_once_and_in_another_again(
    make_user: Callable[..., User],
    enrolled: Enroll,
    pam_services: PamServices,
    on_terminal: Converse,
    syslog: SystemLog,
    program: str,
) -> None:
    pam_services.add(program)
    caller, target = make_user(), make_user()
    if program == "sudo":
        caller.may_sudo()
        asked, password = caller, rf"\[sudo\] password for {caller.name}: "
        command = ["sudo", "-k", "id", "-un"]  # -k: without sudo's own ticket
    else:
        asked, password = target, PASSWORD
        command = ["su", target.name, "-c", "id -un"]
    credential = enrolled(asked)
    right = (password, asked.password)
    twice = f"{shlex.join(command)}; {shlex.join(command)}"
    session = on_terminal(
        ["/bin/sh", "-c", twice], [right, (CODE, credential.fresh_code()), right], user=caller
    )
    assert session.status == 0
    other = on_terminal(
        ["/bin/sh", "-c", f"{shlex.join(command)}; true"],
        [right, (CODE, credential.fresh_code())],
        user=caller,
    )
    assert other.status == 0
    assert reasons(syslog) == ["totp", "remembered", "totp"]


def test_sudo_does_not_answer_for_su_nor_one_caller_for_another(
    make_user: Callable[..., User],
    enrolled: Enroll,
    pam_services: PamServices,
    on_terminal: Converse,
) -> None:
    """Rule 17. In one session root runs su as two callers, and one of them sudo."""
    for service in ("su", "sudo"):
        pam_services.add(service)
    alice, carol = make_user(), make_user()
    alice.may_sudo()
    credential = enrolled(alice)
    # Of the app's codes two can be used within a step.
    codes = [credential.fresh_code(), credential.fresh_code(), new_recovery_codes(alice)[0]]
    as_carol = shlex.join(carol.command(["su", alice.name, "-c", "true"]))
    as_alice = shlex.join(alice.command(["su", alice.name, "-c", "true"]))
    as_sudo = shlex.join(alice.command(["sudo", "-k", "true"]))
    prompts = (PASSWORD, PASSWORD, rf"\[sudo\] password for {alice.name}: ")
    dialogue = [
        answer
        for prompt, code in zip(prompts, codes, strict=True)
        for answer in ((prompt, alice.password), (CODE, code))
    ]
    script = f"{as_carol} && {as_alice} && {as_sudo}"
    assert on_terminal(["/bin/sh", "-c", script], dialogue).status == 0
