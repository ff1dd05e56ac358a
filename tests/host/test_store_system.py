# SPDX-License-Identifier: MIT
"""`store: system`: secrets that users cannot read, from enrollment to a login over real ssh."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyotp
import pytest

from tests.commands.commands import (
    RECOVERY_CODE,
    assert_refused,
    configured,
    gate,
    new_recovery_codes,
    pam_totp,
    recovery_of,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, ASK, COMMAND, NO_CODE_NEEDED, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation, Session

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"
SECRET = re.compile(r"secret=([A-Z2-7]+)")


@pytest.fixture
def system_store() -> Iterator[None]:
    with configured("store: system\n"):
        yield


def kept_secret(user: User) -> Path:
    return STATE / "secrets" / user.name / "secret"


def enroll_by_root(user: User) -> tuple[Credential, list[str]]:
    """`pam-totp enroll --user` on root's terminal, with the user's phone beside it."""
    session = Session([COMMAND, "enroll", "--user", user.name], None, {})
    try:
        session.answer("Code from the app:", "no code")
        secret = SECRET.search(session.screen)
        assert secret
        credential = Credential(user, secret[1])
        session.answer("Code from the app:", pyotp.TOTP(secret[1]).generate_otp(credential.step()))
        done = session.finish()
    finally:
        session.close()
    assert done.status == 0
    return credential, RECOVERY_CODE.findall(done.transcript)


def move(user: User) -> None:
    moved = pam_totp("migrate", user.name)
    assert moved.code == 0, moved.errors


def test_root_enrolls_the_user_who_logs_in_over_ssh(
    user: User,
    system_store: None,
    pam_services: PamServices,
    ssh: Converse,
    syslog: SystemLog,
) -> None:
    pam_services.add("sshd")
    credential, codes = enroll_by_root(user)
    assert not secret_of(user).exists()
    dialogue = [(PASSWORD, user.password), (CODE, credential.fresh_code())]
    assert ssh(user, dialogue).status == 0
    login = ssh(user, [(PASSWORD, user.password), (CODE, codes[0])])
    assert login.status == 0
    assert "9 recovery codes left." in login.transcript
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert reasons == ["totp", "recovery-code"]


def test_secret_and_recovery_codes_are_roots_alone(user: User, system_store: None) -> None:
    enroll_by_root(user)
    for name in ("secret", "recovery"):
        path = kept_secret(user).with_name(name)
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)
        assert user.run_as("cat", str(path)).returncode != 0
    for folder in (kept_secret(user).parent, kept_secret(user).parents[1], STATE):
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("verb", "by_root"),
    [
        ("enroll", "enroll --user {}"),
        ("status", "devices --user {}"),
        ("check", "explain {}"),
        ("recovery-codes", "recovery-codes --user {}"),
    ],
)
def test_users_own_commands_say_that_it_is_roots(
    user: User, system_store: None, verb: str, by_root: str
) -> None:
    answer = pam_totp(verb, user=user)
    assert_refused(answer, "store: system")
    assert answer.errors.endswith(f"ask root to run: pam-totp {by_root.format(user.name)}\n")


def test_secret_in_the_home_does_not_count(
    user: User, enrolled: Callable[..., Credential], system_store: None
) -> None:
    """A user with the password alone cannot make a secret of their own choice."""
    credential, _ = enroll_by_root(user)
    assert verify(user, credential.code(1)).code == ACCEPTED
    own = enrolled(user)
    assert verify(user, own.fresh_code()).code == REFUSED
    kept_secret(user).unlink()
    assert gate(user).code == ASK
    assert verify(user, own.code()).code == REFUSED


@pytest.mark.parametrize("loss", ["removed", "emptied"])
def test_settings_that_are_gone_spare_no_enrolled_user_the_code(user: User, loss: str) -> None:
    """Rule 11. Without them the secret is looked for in the home, where there is none."""
    with configured("store: system\n") as path:
        enroll_by_root(user)
        assert gate(user).code == ASK
        if loss == "removed":
            path.unlink()
        else:
            path.write_bytes(b"")
        assert gate(user).code == ASK


@pytest.mark.parametrize("marked", [False, True])
def test_change_back_to_the_homes_spares_no_enrolled_user_the_code(
    user: User, marked: bool, syslog: SystemLog
) -> None:
    """A secret that is not in force is no way in, and no "not enrolled" either."""
    with configured("store: system\n"):
        credential, _ = enroll_by_root(user)
        used = credential.step() + 1
        if marked:
            assert verify(user, credential.code_of(used)).code == ACCEPTED
    with configured("store: user\n"):
        assert gate(user).code == ASK
        assert verify(user, credential.fresh_code()).code == REFUSED
        decision = syslog.decisions()[-1]
        assert decision["reason"] == "secret-missing"
        assert decision["detail"].endswith(f"in the other store; run: pam-totp migrate {user.name}")
        listed = pam_totp("users")
        assert listed.code == 1
        assert (
            f"the secret is in the other store; run: pam-totp migrate {user.name}" in listed.output
        )
        move(user)
        assert gate(user).code == ASK
        assert verify(user, credential.code_of(used)).code == (REFUSED if marked else ACCEPTED)
        assert "the other store" not in pam_totp("users").output


def test_lost_home_does_not_matter(user: User, system_store: None) -> None:
    credential, _ = enroll_by_root(user)
    user.home.rename(user.home.with_name("moved"))
    try:
        assert verify(user, credential.code(1)).code == ACCEPTED
    finally:
        user.home.with_name("moved").rename(user.home)


def test_user_who_is_not_enrolled_needs_no_code(user: User, system_store: None) -> None:
    assert gate(user).code == NO_CODE_NEEDED


def test_moving_into_the_system_and_back_keeps_secret_and_recovery_codes(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user, device="my phone")
    codes = new_recovery_codes(user)
    before = secret_of(user).read_bytes(), recovery_of(user).read_bytes()
    with configured("store: system\n"):
        assert verify(user, credential.code()).code == REFUSED
        move(user)
        assert not secret_of(user).exists() and not recovery_of(user).exists()
        kept = kept_secret(user), kept_secret(user).with_name("recovery")
        assert tuple(path.read_bytes() for path in kept) == before
        assert verify(user, credential.fresh_code()).code == ACCEPTED
        assert verify(user, codes[0]).code == ACCEPTED
    move(user)
    assert (secret_of(user).read_bytes(), recovery_of(user).read_bytes()) == before
    for path in (secret_of(user), recovery_of(user)):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (user.uid, 0o600)
    assert not any(path.exists() for path in kept)
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert verify(user, codes[0]).code == REFUSED
    assert verify(user, codes[1]).code == ACCEPTED


def test_enforced_user_is_refused_until_the_secret_is_moved(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    credential = enrolled(user)
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    with configured("store: system\n"):
        assert gate(user).code == ASK
        assert verify(user, credential.fresh_code()).code == REFUSED
        assert syslog.decisions()[-1]["reason"] == "secret-missing"


def test_screen_locker_is_refused(
    user: User, system_store: None, pam_services: PamServices, syslog: SystemLog
) -> None:
    enroll_by_root(user)
    answer = user.run_as("/usr/bin/env", f"PAM_USER={user.name}", "/usr/libexec/pam-totp/gate")
    assert answer.returncode == ASK
