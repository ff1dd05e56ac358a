# SPDX-License-Identifier: MIT
"""Real programs that ignore or reap their children: servers with one prompt, su and login."""

from collections.abc import Callable

import pytest

from tests.commands.commands import secret_of
from tests.host.accounts import User
from tests.host.credentials import APART_STEPS, Credential, new_secrets
from tests.host.daemons import Daemon, FtpServer, SaslServer, WebServer
from tests.host.pam_services import PASSWORD_LINE, PamServices, shipped_lines
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Enroll = Callable[..., Credential]
Converse = Callable[..., Conversation]
LOGINS, DEVICES = 20, 4
PASSWORD, CODE = "Password: ", "Verification code: "
# As common-auth has it, without the two seconds after every refusal.
PASSWORD_AT_ONCE = "auth requisite pam_unix.so nodelay"
IGNORES_CHILDREN = ["env", "--ignore-signal=CHLD"]


def enroll_devices(user: User, count: int) -> list[Credential]:
    """As many devices of one user: each has a code now that no login has used."""
    secrets = new_secrets(count)
    uri = f"otpauth://totp/server:{user.name}@server?secret={{}}&issuer=server device{{}}\n"
    lines = [uri.format(secret, number) for number, secret in enumerate(secrets)]
    user.give(secret_of(user), "".join(lines))
    return [Credential(user, secret) for secret in secrets]


def incorrect_code(devices: list[Credential]) -> str:
    """A code that is wrong for all of them, now and for minutes."""
    near = {device.code(step) for device in devices for step in range(-APART_STEPS, APART_STEPS)}
    return next(code for code in map("{:06d}".format, range(1000000)) if code not in near)


@pytest.mark.parametrize("kind", [FtpServer, SaslServer, WebServer])
def test_server_accepts_every_correct_code_and_refuses_every_wrong_one(
    make_user: Callable[..., User],
    pam_services: PamServices,
    start_daemon: Callable[[Callable[[], Daemon]], Daemon],
    syslog: SystemLog,
    kind: type[Daemon],
) -> None:
    lines = [
        *(each.replace(PASSWORD_LINE, PASSWORD_AT_ONCE) for each in shipped_lines("one-prompt")),
        "account required pam_permit.so",
        "session required pam_permit.so",
    ]
    pam_services.write(kind.service, "\n".join([*lines, ""]))
    server = start_daemon(kind)
    # A few devices a person: compared with many, an incorrect code is as many guesses.
    people = [make_user() for _ in range(LOGINS // DEVICES)]
    answers = []
    for user in people:
        devices = enroll_devices(user, DEVICES)
        wrong = user.password + incorrect_code(devices)
        for device in devices:
            is_wrong_in = server.accepts(user, wrong)
            answers.append((is_wrong_in, server.accepts(user, user.password + device.fresh_code())))
    assert answers == [(False, True)] * LOGINS
    decisions = syslog.decisions()
    assert [decision["reason"] for decision in decisions] == ["wrong-code", "totp"] * LOGINS
    assert {decision["service"] for decision in decisions} == {kind.service}


def test_su_with_children_ignored_takes_the_correct_code_and_refuses_the_wrong_one(
    make_user: Callable[..., User],
    enrolled: Enroll,
    pam_services: PamServices,
    on_terminal: Converse,
) -> None:
    alice, bob = make_user(), make_user()
    pam_services.add("su", shipped_lines("password-then-code"))
    credential = enrolled(bob)
    command = [*IGNORES_CHILDREN, "su", bob.name, "-c", "id -un"]
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    refused = on_terminal(command, [(PASSWORD, bob.password), *wrong], user=alice)
    assert (refused.status, refused.prompts) == (1, [PASSWORD, CODE, CODE, CODE])
    right = [(PASSWORD, bob.password), (CODE, credential.fresh_code())]
    became = on_terminal(command, right, user=alice)
    assert (became.status, became.transcript.splitlines()[-1]) == (0, bob.name)


def test_login_with_children_ignored_takes_the_correct_code(
    user: User, enrolled: Enroll, pam_services: PamServices, on_terminal: Converse
) -> None:
    pam_services.add("login", shipped_lines("password-then-code"))
    credential = enrolled(user)
    name, shell = "server login: ", rf"{user.name}@server:~\$"
    typed = [(name, user.name), (PASSWORD, user.password)]
    codes = [(CODE, credential.incorrect_code()), (CODE, credential.fresh_code())]
    login = on_terminal([*IGNORES_CHILDREN, "login"], [*typed, *codes, (shell, "exit")])
    assert login.prompts[:4] == [name, PASSWORD, CODE, CODE]
