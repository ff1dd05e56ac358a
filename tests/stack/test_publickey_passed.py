# SPDX-License-Identifier: MIT
"""Who may say that a public key has passed: sshd, and nobody else."""

from collections.abc import Callable

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import COMMON_AUTH, shipped_lines
from tests.stack.libpam import PAM_AUTH_ERR, PAM_SUCCESS, Outcome

Enroll = Callable[..., Credential]
Drive = Callable[..., Outcome]
PASSWORD, CODE = "Password: ", "Verification code: "
LINE = "auth required pam_totp.so publickey_passed"
PASSED_KEY = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA"


@pytest.mark.parametrize(
    ("service", "passed", "expected"),
    [
        ("sshd", "publickey ssh-ed25519 AAAA", PAM_SUCCESS),
        ("sshd", "hostbased x\npublickey ssh-rsa AAAA\n", PAM_SUCCESS),
        ("sshd", None, PAM_AUTH_ERR),
        ("sshd", "", PAM_AUTH_ERR),
        ("sshd", "publickey", PAM_AUTH_ERR),
        ("sshd", "password publickey x\nxpublickey x\n publickey x\n", PAM_AUTH_ERR),
        ("sudo", "publickey ssh-ed25519 AAAA", PAM_AUTH_ERR),
        ("sshd2", "publickey ssh-ed25519 AAAA", PAM_AUTH_ERR),
        ("login", "publickey ssh-ed25519 AAAA", PAM_AUTH_ERR),
    ],
)
def test_publickey_passed_believes_sshd_alone_and_asks_nothing(
    user: User,
    enrolled: Enroll,
    drive: Drive,
    service: str,
    passed: str | None,
    expected: int,
) -> None:
    enrolled(user)
    variables = [] if passed is None else [f"SSH_AUTH_INFO_0={passed}"]
    login = drive([LINE], user, [], service=service, variables=variables)
    assert (login.authenticate, login.prompts) == (expected, [])
    assert login.setcred == (PAM_SUCCESS if expected == PAM_SUCCESS else -1)


def test_a_forged_key_does_not_replace_the_password_in_another_service(
    user: User, enrolled: Enroll, drive: Drive
) -> None:
    key, _include, permit, ours = shipped_lines("key-or-password-then-code")
    password = COMMON_AUTH.read_text(encoding="utf-8").splitlines()
    stack = [key, *password, permit, ours]
    code = enrolled(user).fresh_code()
    forged = drive(stack, user, [user.password, code], service="sudo", variables=[PASSED_KEY])
    assert (forged.authenticate, forged.prompts) == (PAM_SUCCESS, [PASSWORD, CODE])


@pytest.mark.parametrize(
    ("service", "variables", "succeeds"),
    [("sshd", [PASSED_KEY], True), ("sshd", [], False), ("sudo", [PASSED_KEY], False)],
)
def test_sshds_other_process_which_only_sets_credentials_is_answered_the_same(
    user: User, drive: Drive, service: str, variables: list[str], succeeds: bool
) -> None:
    """Jumps follow this answer there: another one would leave the way that authentication took."""
    login = drive([LINE], user, [], service=service, variables=variables, only_setcred=True)
    assert (login.setcred == PAM_SUCCESS) is succeeds
    assert login.prompts == []


def test_setting_credentials_succeeds_where_a_code_was_asked_and_asks_nothing(
    user: User, enrolled: Enroll, drive: Drive
) -> None:
    """A stack of nothing else would authenticate and then refuse, as pam_exec's own does."""
    enrolled(user)
    login = drive(["auth required pam_totp.so"], user, [], service="sshd", only_setcred=True)
    assert (login.setcred, login.prompts) == (PAM_SUCCESS, [])
