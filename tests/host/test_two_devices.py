# SPDX-License-Identifier: MIT
"""Two devices of one user at real logins: which one the log names, and what a removed one does."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.commands.commands import configured, pam_totp, secret_of
from tests.enrollment.person import PASSWORD_PROMPT, Person
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password: ", "Verification code: "


@pytest.fixture
def devices(user: User) -> list[Credential]:
    """`phone`, and `my tablet`."""
    secrets = new_secrets(2)
    uri = f"otpauth://totp/server:{user.name}?issuer=server&secret="
    user.give(secret_of(user), f"{uri}{secrets[0]} phone\n{uri}{secrets[1]} my tablet\n")
    return [Credential(user, secret) for secret in secrets]


@pytest.fixture
def remember() -> Iterator[None]:
    with configured("remember: 10m\n", settled=True):
        yield


@pytest.fixture
def key_log_in(
    pam_services: PamServices, start_sshd: Callable[..., SshServer], ssh: Converse
) -> Converse:
    pam_services.replace_password("sshd", shipped_lines("key-or-password-then-code"))
    return partial(ssh, server=start_sshd(shipped_settings("key-or-password-then-code")))


def with_password(user: User, device: Credential) -> list[tuple[str, str]]:
    return [(PASSWORD, user.password), (CODE, device.fresh_code())]


def test_log_names_the_device_whose_code_was_typed(
    user: User, devices: list[Credential], log_in: Converse, syslog: SystemLog
) -> None:
    for device in (devices[1], devices[0], devices[1]):
        assert log_in(user, with_password(user, device)).status == 0
    named = [decision["device"] for decision in syslog.decisions()]
    assert named == ["my tablet", "phone", "my tablet"]


def test_removed_device_logs_nobody_in_and_the_other_one_does(
    user: User, devices: list[Credential], log_in: Converse, syslog: SystemLog
) -> None:
    stolen, kept = devices
    assert log_in(user, with_password(user, stolen)).status == 0
    answer = pam_totp("devices", "remove", "phone", user=user, typed=f"{user.password}\n")
    assert answer.code == 0, answer.errors
    refused = log_in(user, [*with_password(user, stolen), (CODE, ""), (CODE, "")])
    assert refused.status != 0
    assert log_in(user, with_password(user, kept)).status == 0
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert (reasons[0], reasons[1], reasons[-1]) == ("totp", "wrong-code", "totp")


def test_last_device_that_was_removed_lets_nobody_in_by_ssh(
    user: User, enrolled: Callable[..., Credential], log_in: Converse, syslog: SystemLog
) -> None:
    """Whether or not there was a login with a code before."""
    device = enrolled(user)
    answer = pam_totp("devices", "remove", "phone", "--yes", "--user", user.name)
    assert answer.code == 0
    refused = log_in(user, [*with_password(user, device), (CODE, ""), (CODE, "")])
    assert refused.status != 0
    assert {decision["reason"] for decision in syslog.decisions()} >= {"secret-malformed"}


def remove(user: User) -> None:
    assert pam_totp("devices", "remove", "phone", "--user", user.name).code == 0


def replace(user: User) -> None:
    person = Person(user, "enroll", "--device", "phone")
    person.answer(PASSWORD_PROMPT, user.password)
    person.type_line(person.scan().code())
    done = person.finish()
    person.end()
    assert done.status == 0
    assert "Recovery codes, each" not in done.output, "the other device stays"


@pytest.mark.usefixtures("remember")
@pytest.mark.parametrize("end", [remove, replace])
def test_code_of_a_device_that_is_gone_is_remembered_no_longer(
    user: User,
    devices: list[Credential],
    key_log_in: Converse,
    syslog: SystemLog,
    end: Callable[[User], None],
) -> None:
    """Rule 17. Whoever has the stolen phone and the key has logged in a moment ago."""
    stolen, kept = devices
    key = user.new_ssh_key()
    assert key_log_in(user, [(CODE, stolen.fresh_code())], key=key).status == 0
    assert key_log_in(user, [], key=key).status == 0, "it is remembered"
    end(user)
    assert key_log_in(user, [(CODE, kept.fresh_code())], key=key).status == 0
    assert [each["reason"] for each in syslog.decisions()] == ["totp", "remembered", "totp"]
