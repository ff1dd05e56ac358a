# SPDX-License-Identifier: MIT
"""A public key or the password, and then the code, in one stack: the shipped snippet."""

import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_client import asked
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
StartSshd = Callable[..., SshServer]
PASSWORD, CODE = "Password: ", "Verification code: "


@pytest.fixture
def key_or_password(pam_services: PamServices, start_sshd: StartSshd, ssh: Converse) -> Converse:
    pam_services.replace_password("sshd", shipped_lines("key-or-password-then-code"))
    return partial(ssh, server=start_sshd(shipped_settings("key-or-password-then-code")))


def incorrect_codes(credential: Credential) -> list[tuple[str, str]]:
    return [(CODE, credential.incorrect_code(index)) for index in range(3)]


def verdicts(syslog: SystemLog) -> list[tuple[str, str]]:
    return [(decision["verdict"], decision["reason"]) for decision in syslog.decisions()]


def test_a_key_or_the_password_and_then_the_code_are_accepted(
    user: User, enrolled: Enroll, key_or_password: Converse, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    by_password = key_or_password(
        user, [(PASSWORD, user.password), (CODE, credential.fresh_code())]
    )
    assert (by_password.status, by_password.prompts) == (0, asked(user, PASSWORD, CODE))
    by_key = key_or_password(user, [(CODE, credential.fresh_code())], key=user.new_ssh_key())
    assert (by_key.status, by_key.prompts) == (0, asked(user, CODE))
    assert verdicts(syslog) == [("accept", "totp")] * 2


def test_incorrect_codes_are_refused_after_a_key_and_after_the_password(
    user: User, enrolled: Enroll, key_or_password: Converse, syslog: SystemLog
) -> None:
    wrong = incorrect_codes(enrolled(user))
    assert key_or_password(user, [(PASSWORD, user.password), *wrong]).status == 255
    subprocess.run(["pam-totp", "unlock", user.name], check=True, stdout=subprocess.DEVNULL)
    assert key_or_password(user, wrong, key=user.new_ssh_key()).status == 255
    assert verdicts(syslog) == [("refuse", "wrong-code")] * 6


def test_no_code_is_asked_after_a_wrong_password_or_of_an_unknown_user(
    user: User, enrolled: Enroll, key_or_password: Converse, syslog: SystemLog
) -> None:
    enrolled(user)
    for name in (user.name, "nobody-here"):
        login = key_or_password(name, [(PASSWORD, "wrong")])
        assert (login.status, login.prompts) == (255, asked(name, PASSWORD))
    assert verdicts(syslog) == []


def test_who_has_not_enrolled_is_accepted_by_key_and_by_password(
    user: User, key_or_password: Converse, syslog: SystemLog
) -> None:
    by_password = key_or_password(user, [(PASSWORD, user.password)])
    assert (by_password.status, by_password.prompts) == (0, asked(user, PASSWORD))
    by_key = key_or_password(user, key=user.new_ssh_key())
    assert (by_key.status, by_key.prompts) == (0, [])
    assert verdicts(syslog) == [("skip", "not-enrolled")] * 2


def test_a_key_that_is_not_the_users_is_no_key(
    make_user: Callable[..., User], enrolled: Enroll, key_or_password: Converse
) -> None:
    alice, mallory = make_user(), make_user()
    enrolled(alice)
    login = key_or_password(alice, [(PASSWORD, "wrong")], key=mallory.new_ssh_key())
    assert (login.status, login.prompts) == (255, asked(alice, PASSWORD))


FAILLOCK = """\
auth requisite pam_faillock.so preauth deny=3 unlock_time=600
auth [success=2 default=ignore] pam_unix.so nullok nodelay
auth [default=die] pam_faillock.so authfail deny=3 unlock_time=600
auth requisite pam_deny.so
auth required pam_permit.so
"""


def test_what_common_auth_has_stays_in_force_for_passwords_and_a_key_jumps_over_it(
    user: User,
    enrolled: Enroll,
    pam_services: PamServices,
    start_sshd: StartSshd,
    ssh: Converse,
    syslog: SystemLog,
) -> None:
    credential = enrolled(user)
    pam_services.write("common-auth", FAILLOCK)
    pam_services.replace_password("sshd", shipped_lines("key-or-password-then-code"))
    server = start_sshd(shipped_settings("key-or-password-then-code"))
    log_in = partial(ssh, server=server)
    try:
        for _ in range(3):
            assert log_in(user, [(PASSWORD, "wrong")]).prompts == asked(user, PASSWORD)
        locked = log_in(user)
        assert (locked.status, "account is locked" in locked.transcript) == (255, True)
        assert verdicts(syslog) == []  # nobody was asked for a code
        by_key = log_in(user, [(CODE, credential.fresh_code())], key=user.new_ssh_key())
        assert (by_key.status, by_key.prompts) == (0, asked(user, CODE))
    finally:
        subprocess.run(["faillock", "--user", user.name, "--reset"], check=True)
    by_password = log_in(user, [(PASSWORD, user.password), (CODE, credential.fresh_code())])
    assert (by_password.status, by_password.prompts) == (0, asked(user, PASSWORD, CODE))
