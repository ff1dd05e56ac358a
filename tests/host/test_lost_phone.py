# SPDX-License-Identifier: MIT
"""The README's two pages "you lost your phone", walked step by step over real ssh."""

from collections.abc import Callable

import pytest

from tests.commands.commands import RECOVERY_CODE, pam_totp, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import REFUSED
from tests.host.ssh_client import client_options
from tests.host.ssh_server import SshServer
from tests.host.terminal import Conversation, Dialogue, Session, UnexpectedDialogue
from tests.host.test_store_system import SECRET

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"
SHELL = r"\$"


@pytest.fixture(autouse=True)
def shipped_line(pam_services: PamServices) -> None:
    pam_services.add("sshd")


class Visit:
    """One ssh session with a shell, in which the user types commands."""

    def __init__(self, user: User, server: SshServer, login: Dialogue) -> None:
        options = client_options(server)
        argv = ["/usr/bin/ssh", "-t", *options, "-l", user.name, "server"]
        self.user = user
        self.session = Session(argv, None, {"TERM": "dumb"})
        for expected, typed in login:
            self.session.answer(expected, typed)

    def enroll(self, again: bool) -> tuple[Credential, list[str]]:
        """`pam-totp enroll` with a new phone: what is on it then, and the recovery codes."""
        self.session.answer(SHELL, "stty cols 80 rows 60; pam-totp enroll")
        if again:
            self.session.answer("System password of .*:", self.user.password)
        self.session.answer("Code from the app:", "")
        secret = SECRET.search(self.session.screen)
        assert secret
        phone = Credential(self.user, secret[1])
        self.session.answer("Code from the app:", phone.code())
        done = self.leave()
        codes = RECOVERY_CODE.findall(done.transcript)
        assert len(codes) == 10
        return phone, codes

    def leave(self) -> Conversation:
        try:
            self.session.answer(SHELL, "exit")
            done = self.session.finish()
        finally:
            self.session.close()
        assert done.status == 0
        return done


@pytest.fixture
def visit(sshd: SshServer) -> Callable[[User, Dialogue], Visit]:
    return lambda user, login: Visit(user, sshd, login)


Visits = Callable[[User, Dialogue], Visit]


def test_user_logs_in_with_a_recovery_code_and_enrolls_the_new_phone(
    user: User, visit: Visits, ssh: Converse
) -> None:
    old_phone, codes = visit(user, [(PASSWORD, user.password)]).enroll(again=False)
    login = [(PASSWORD, user.password), (CODE, old_phone.code(1))]
    assert ssh(user, login).status == 0

    by_recovery_code = [(PASSWORD, user.password), (CODE, codes[0])]
    new_phone, new_codes = visit(user, by_recovery_code).enroll(again=True)

    assert verify(user, old_phone.code(1)).code == REFUSED
    assert verify(user, old_phone.code()).code == REFUSED
    assert {verify(user, code).code for code in codes} == {REFUSED}
    assert ssh(user, [(PASSWORD, user.password), (CODE, new_phone.code(1))]).status == 0
    assert "9 recovery codes left." in visit(
        user, [(PASSWORD, user.password), (CODE, new_codes[0])]
    ).leave().transcript  # fmt: skip


def test_administrator_resets_and_the_user_enrolls_anew(
    user: User, visit: Visits, ssh: Converse
) -> None:
    old_phone, codes = visit(user, [(PASSWORD, user.password)]).enroll(again=False)
    assert ssh(user, [(PASSWORD, user.password), (CODE, old_phone.code(1))]).status == 0
    listed = pam_totp("users")
    assert user.name in listed.output

    assert pam_totp("reset", "--yes", user.name).code == 0

    assert user.name not in pam_totp("users").output
    new_phone, _ = visit(user, [(PASSWORD, user.password)]).enroll(again=False)
    for code in (old_phone.code(1), old_phone.code(), codes[0]):
        assert verify(user, code).code == REFUSED
    assert ssh(user, [(PASSWORD, user.password), (CODE, new_phone.code(1))]).status == 0


def test_administrator_grants_one_login_and_the_user_enrolls_anew(
    user: User, visit: Visits, ssh: Converse
) -> None:
    old_phone, codes = visit(user, [(PASSWORD, user.password)]).enroll(again=False)
    assert ssh(user, [(PASSWORD, user.password), (CODE, old_phone.code(1))]).status == 0

    assert pam_totp("grant", user.name, "--for", "30m", "--once").code == 0

    new_phone, _ = visit(user, [(PASSWORD, user.password)]).enroll(again=True)
    with pytest.raises(UnexpectedDialogue, match=f"{CODE} ' instead of 'the end'"):
        ssh(user, [(PASSWORD, user.password)])
    assert verify(user, old_phone.code(1)).code == REFUSED
    assert verify(user, codes[0]).code == REFUSED
    assert ssh(user, [(PASSWORD, user.password), (CODE, new_phone.code(1))]).status == 0


def test_administrator_unlocks_a_user_whom_somebody_keeps_waiting(
    user: User, visit: Visits, ssh: Converse
) -> None:
    phone, _ = visit(user, [(PASSWORD, user.password)]).enroll(again=False)
    for index in range(6):
        verify(user, phone.incorrect_code(index))
    code = phone.code(1)
    assert verify(user, code).code == REFUSED
    assert pam_totp("unlock", user.name).code == 0
    assert ssh(user, [(PASSWORD, user.password), (CODE, code)]).status == 0
