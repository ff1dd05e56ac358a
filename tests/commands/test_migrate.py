"""`pam-totp migrate`: a user's secret follows the settings into the store in force."""

from pathlib import Path

from tests.commands.commands import (
    LET_IN,
    STATE,
    assert_refused,
    configured,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.system_log import SystemLog


def kept(user: User) -> Path:
    return STATE / "secrets" / user.name / "secret"


def test_what_was_moved_is_said(user: User, credential: Credential) -> None:
    new_recovery_codes(user)
    with configured("store: system\n"):
        moved = pam_totp("migrate", user.name)
    assert moved.code == 0
    assert moved.output.splitlines() == [
        f"moved {secret_of(user)} to {kept(user)}",
        f"moved {recovery_of(user)} to {kept(user).with_name('recovery')}",
    ]


def test_nothing_to_take_over_is_an_error(user: User, credential: Credential) -> None:
    before = secret_of(user).read_bytes()
    assert_refused(pam_totp("migrate", user.name), "nothing to take over")
    assert secret_of(user).read_bytes() == before


def test_different_secret_in_the_way_is_an_error_and_both_stay(
    user: User, credential: Credential
) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
        user.give(secret_of(user), "another\n")
        before = kept(user).read_bytes()
        assert_refused(pam_totp("migrate", user.name), "is there already and differs")
        assert (kept(user).read_bytes(), secret_of(user).read_text()) == (before, "another\n")


def test_interrupted_move_can_be_repeated(user: User, credential: Credential) -> None:
    with configured("store: system\n"):
        with read_only(user.home):
            assert_refused(pam_totp("migrate", user.name), "Read-only file system")
        assert kept(user).read_bytes() == secret_of(user).read_bytes()
        assert pam_totp("migrate", user.name).code == 0
        assert not secret_of(user).exists()
        assert verify(user, credential.fresh_code()).code == LET_IN


def test_full_disk_loses_no_secret(user: User, credential: Credential) -> None:
    before = secret_of(user).read_bytes()
    with configured("store: system\n"):
        with mounted(STATE, "size=4k,nr_inodes=2,mode=700"):
            (STATE / "secrets").mkdir(mode=0o700)
            assert_refused(pam_totp("migrate", user.name), "No space left")
        assert secret_of(user).read_bytes() == before
        assert not kept(user).exists()


def test_unsafe_secret_is_not_taken_over(user: User, credential: Credential) -> None:
    secret_of(user).chmod(0o644)
    with configured("store: system\n"):
        assert_refused(pam_totp("migrate", user.name), "cannot take over")
    assert not kept(user).exists()


def test_move_is_logged(user: User, credential: Credential, syslog: SystemLog) -> None:
    """A secret that changes hands is as much as a grant."""
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
    assert syslog.lines("action=import")[0].fields["user"] == user.name
