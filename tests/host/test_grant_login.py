# SPDX-License-Identifier: MIT
"""A grant lets somebody without a phone in: over real ssh, for its time, or once."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import clock, gate, pam_totp, read_only, secret_of, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ASK, GATE, LOGIN, NO_CODE_NEEDED, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation, UnexpectedDialogue

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"


def grant_of(user: User) -> Path:
    return STATE / "grants" / str(user.uid)


def test_granted_user_is_accepted_over_ssh_with_the_password_alone(
    user: User, credential: Credential, pam_services: PamServices, ssh: Converse, syslog: SystemLog
) -> None:
    pam_services.add("sshd")
    assert pam_totp("grant", user.name, "--for", "10m").code == 0
    for _ in range(2):
        login = ssh(user, [(PASSWORD, user.password)])
        assert (login.status, len(login.prompts)) == (0, 1)
    granted = syslog.decisions()
    assert [(each["verdict"], each["reason"]) for each in granted] == [("skip", "granted")] * 2


def test_grant_does_not_spare_the_password(
    user: User, credential: Credential, pam_services: PamServices, ssh: Converse
) -> None:
    pam_services.add("sshd")
    assert pam_totp("grant", user.name).code == 0
    assert ssh(user, [(PASSWORD, "wrong")]).status == 255


def test_grant_for_once_lets_one_login_in_over_ssh(
    user: User, credential: Credential, pam_services: PamServices, ssh: Converse
) -> None:
    pam_services.add("sshd")
    pam_totp("grant", user.name, "--once")
    assert ssh(user, [(PASSWORD, user.password)]).status == 0
    with pytest.raises(UnexpectedDialogue, match=f"{CODE} ' instead of 'the end'"):
        ssh(user, [(PASSWORD, user.password)])


def test_two_logins_that_both_saw_a_grant_for_once_do_not_both_use_it(
    user: User, credential: Credential
) -> None:
    """Each is held up between reading the grant and removing it."""
    pam_totp("grant", user.name, "--once")
    slowly = ["strace", "-o", "/dev/null", "-e", "inject=unlinkat:delay_enter=500000"]
    variables = LOGIN | {"PAM_USER": user.name}
    gates = [subprocess.Popen([*slowly, GATE], env=variables) for _ in range(2)]
    assert sorted(each.wait(timeout=30) for each in gates) == [NO_CODE_NEEDED, ASK]


def test_grant_allows_a_login_although_the_secret_is_gone(
    user: User, credential: Credential
) -> None:
    assert verify(user, credential.fresh_code()).code == 0
    secret_of(user).unlink()
    assert gate(user).code == ASK
    pam_totp("grant", user.name)
    assert gate(user).code == NO_CODE_NEEDED


def test_grant_ends_with_its_time(user: User, credential: Credential) -> None:
    pam_totp("grant", user.name, "--for", "30m")
    assert gate(user, through=clock("+29m")).code == NO_CODE_NEEDED
    assert gate(user, through=clock("+31m")).code == ASK


def test_grant_does_not_hold_when_the_clock_is_set_to_before_it_was_given(
    user: User, credential: Credential
) -> None:
    pam_totp("grant", user.name, "--for", "30m")
    assert gate(user, through=clock("-1m")).code == ASK
    assert gate(user).code == NO_CODE_NEEDED


def test_grant_for_once_that_ended_unused_does_not_hold(user: User, credential: Credential) -> None:
    pam_totp("grant", user.name, "--for", "30m", "--once")
    assert gate(user, through=clock("+31m")).code == ASK


def test_grant_does_not_outlive_its_user(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    """The next account with the id has another name; what is in the way is said."""
    alice = make_user()
    pam_totp("grant", alice.name, "--for", "30d")
    subprocess.run(["usermod", "--login", f"{alice.name}-next", alice.name], check=True)
    try:
        enrolled(alice)
        assert gate(f"{alice.name}-next").code == ASK
        assert "of another name" in syslog.decisions()[-1]["detail"]
    finally:
        subprocess.run(["usermod", "--login", alice.name, f"{alice.name}-next"], check=True)
    assert gate(alice).code == NO_CODE_NEEDED


def test_enforced_record_of_an_earlier_user_of_the_id_is_refused_with_what_to_type(
    user: User, syslog: SystemLog
) -> None:
    mark = STATE / "enforced" / str(user.uid)
    mark.parent.mkdir(mode=0o700, exist_ok=True)
    mark.touch(mode=0o600)
    assert verify(user, "123456").code == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "secret-missing"
    assert decision["detail"].endswith(f"pam-totp reset {user.name}")


def test_grant_of_one_user_is_not_anothers(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    alice, bob = make_user(), make_user()
    enrolled(alice), enrolled(bob)
    pam_totp("grant", alice.name)
    assert (gate(alice).code, gate(bob).code) == (NO_CODE_NEEDED, ASK)


def test_new_grant_takes_the_place_of_the_old(user: User, credential: Credential) -> None:
    pam_totp("grant", user.name, "--for", "30d")
    pam_totp("grant", user.name, "--for", "1m", "--once")
    assert gate(user).code == NO_CODE_NEEDED
    assert gate(user).code == ASK


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 40, b"pam-totp grant 1 0 99999999999\n", b"pam-totp grant 1 0 99999999999 MANY\n",
     b"pam-totp grant 1 0 99999999999 SOME\n", b"pam-totp grant 1 0 9e9 MANY\n", b"\xff" * 40],
)  # fmt: skip
def test_malformed_grant_exempts_nobody(user: User, credential: Credential, content: bytes) -> None:
    pam_totp("grant", user.name)
    grant_of(user).write_bytes(content)
    assert gate(user).code == ASK
    assert verify(user, "").code == REFUSED


def test_grant_of_a_user_who_is_not_enrolled_is_not_even_read(user: User) -> None:
    pam_totp("grant", user.name, "--once")
    assert gate(user).code == NO_CODE_NEEDED
    assert grant_of(user).exists()
    grant_of(user).write_bytes(b"junk")
    assert gate(user).code == NO_CODE_NEEDED


def test_grant_for_once_that_cannot_be_used_up_does_not_hold(
    user: User, credential: Credential
) -> None:
    pam_totp("grant", user.name, "--once")
    with read_only(STATE):
        assert gate(user).code == ASK
    assert gate(user).code == NO_CODE_NEEDED


def test_grant_is_roots_alone(user: User, credential: Credential) -> None:
    pam_totp("grant", user.name)
    assert (grant_of(user).stat().st_mode & 0o777, grant_of(user).stat().st_uid) == (0o600, 0)
    assert grant_of(user).parent.stat().st_mode & 0o777 == 0o700


def test_command_says_until_when_and_logs_who_gave_it(user: User, syslog: SystemLog) -> None:
    given = pam_totp("grant", user.name, "--for", "2h", "--once")
    assert f"{user.name} can log in once without a code until 20" in given.output
    line = syslog.wait_for("action=grant")
    assert (line.facility, line.severity, line.ident) == ("authpriv", "notice", "pam-totp")
    assert line.fields["user"] == user.name
    assert line.fields["by"] == "root"
