# SPDX-License-Identifier: MIT
"""A PAM program that runs as the user, such as a screen locker, judges by the user's own file."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import Answer, new_recovery_codes, run, tree, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, LOGIN, RECORDS, REFUSED, STATE, VERIFY
from tests.host.system_log import SystemLog

LOCKER = "locker"
STACK = """\
auth requisite pam_unix.so nodelay
auth required pam_totp.so tries=1
account required pam_permit.so
"""


@pytest.fixture(autouse=True)
def locker(pam_services: PamServices) -> None:
    pam_services.write(LOCKER, STACK)


@pytest.fixture
def alice(user: User) -> User:
    """A user who is logged in: systemd would have made /run/user/UID."""
    make_run_folder(user)
    return user


@pytest.fixture
def credential(alice: User, enrolled: Callable[..., Credential]) -> Credential:
    return enrolled(alice)


def make_run_folder(user: User) -> Path:
    folder = Path("/run/user") / str(user.uid)
    folder.mkdir(mode=0o700)
    os.chown(folder, user.uid, user.gid)
    return folder


def unlock(caller: User, *answers: str, name: str = "") -> Answer:
    """pamtester as the caller, who is also the one to log in if no other name is given."""
    program = ["pamtester", LOCKER, name or caller.name, "authenticate"]
    return run(caller.command(program), "".join(f"{answer}\n" for answer in answers))


def verify_as(caller: User, name: str, typed: str) -> int:
    variables = LOGIN | {"PAM_USER": name, "PAM_SERVICE": LOCKER}
    words = [f"{key}={value}" for key, value in variables.items()]
    return run(caller.command(["/usr/bin/env", "-i", *words, VERIFY]), typed).code


def test_correct_code_unlocks(alice: User, credential: Credential, syslog: SystemLog) -> None:
    answer = unlock(alice, alice.password, credential.fresh_code())
    assert answer.code == 0, answer
    assert "Verification code:" in answer.output + answer.errors
    (decision,) = syslog.decisions()
    assert (decision["reason"], decision["service"]) == ("totp", LOCKER)


def test_incorrect_code_does_not(alice: User, credential: Credential) -> None:
    assert unlock(alice, alice.password, credential.incorrect_code()).code == 1


def test_correct_code_with_a_wrong_password_does_not(alice: User, credential: Credential) -> None:
    assert unlock(alice, "wrong", credential.fresh_code()).code == 1


def test_used_code_does_not(alice: User, credential: Credential, syslog: SystemLog) -> None:
    code = credential.fresh_code()
    assert unlock(alice, alice.password, code).code == 0
    assert unlock(alice, alice.password, code).code == 1
    assert syslog.decisions()[-1]["reason"] == "reused-code"


def test_incorrect_codes_are_throttled(
    alice: User, credential: Credential, syslog: SystemLog
) -> None:
    for index in range(5):
        assert verify_as(alice, alice.name, credential.incorrect_code(index)) == REFUSED
    answer = unlock(alice, alice.password, credential.fresh_code())
    assert answer.code == 1
    assert "Too many incorrect codes. Try again in " in answer.output + answer.errors
    assert syslog.decisions()[-1]["reason"] == "throttled"


def test_users_state_is_below_run_user_and_roots_is_untouched(
    alice: User, credential: Credential
) -> None:
    assert verify(alice, credential.fresh_code()).code == ACCEPTED
    before = tree(RECORDS), tree(STATE)
    assert unlock(alice, alice.password, credential.fresh_code()).code == 0
    for index in range(6):
        verify_as(alice, alice.name, credential.incorrect_code(index))
    assert (tree(RECORDS), tree(STATE)) == before
    folder = Path("/run/user") / str(alice.uid) / "pam-totp"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == [str(alice.uid)]


def test_incorrect_codes_of_the_users_own_programs_do_not_lock_root_out_of_letting_in(
    alice: User, credential: Credential
) -> None:
    for index in range(8):
        verify_as(alice, alice.name, credential.incorrect_code(index))
    assert verify(alice, credential.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("folder", [RECORDS, STATE])
def test_user_can_neither_read_nor_write_roots_state(
    alice: User, credential: Credential, folder: Path
) -> None:
    assert verify(alice, credential.fresh_code()).code == ACCEPTED
    for attempt in (["ls", str(folder)], ["touch", str(folder / "x")], ["rm", "-r", str(folder)]):
        assert alice.run_as(*attempt).returncode != 0
    for path in folder.rglob("*"):
        assert alice.run_as("cat", str(path)).returncode != 0


def test_users_own_record_changes_nothing_for_root(
    alice: User, credential: Credential, syslog: SystemLog
) -> None:
    """Somebody who deletes the record of their own locker plays nothing back to root's."""
    code = credential.fresh_code()
    assert verify(alice, code).code == ACCEPTED
    record = f"/run/user/{alice.uid}/pam-totp/{alice.uid}"
    verify_as(alice, alice.name, credential.incorrect_code())
    alice.run_as("rm", record, check=True)
    assert verify(alice, code).code == REFUSED
    assert syslog.decisions()[-1]["reason"] == "reused-code"


def test_nobody_is_verified_for_somebody_else(
    alice: User,
    credential: Credential,
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    syslog: SystemLog,
) -> None:
    bob = make_user()
    make_run_folder(bob)
    of_bob = enrolled(bob)
    assert verify_as(alice, bob.name, of_bob.fresh_code()) == REFUSED
    assert syslog.decisions()[-1]["reason"] == "secret-unsafe"
    assert verify_as(alice, "root", credential.fresh_code()) == REFUSED
    assert verify_as(alice, "nobody-at-all", credential.fresh_code()) == REFUSED
    assert unlock(alice, bob.password, of_bob.code(), name=bob.name).code == 1


def test_user_who_is_not_enrolled_is_accepted_by_the_password_and_by_nothing_else(
    alice: User, pam_services: PamServices
) -> None:
    assert unlock(alice, alice.password).code == 0
    assert unlock(alice, "wrong").code == 1
    alone = "auth required pam_totp.so\naccount required pam_permit.so\n"
    pam_services.write(LOCKER, alone)
    assert unlock(alice, alice.password).code == 1


def test_without_run_user_a_correct_code_is_refused(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    code = enrolled(user).fresh_code()
    assert unlock(user, user.password, code).code == 1
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "state-unavailable"
    assert "(systemd makes /run/user at a login)" in decision["detail"]
    make_run_folder(user)
    assert unlock(user, user.password, code).code == 0


def test_recovery_code_is_refused_and_stays_good(
    alice: User, credential: Credential, syslog: SystemLog
) -> None:
    code = new_recovery_codes(alice)[0]
    assert unlock(alice, alice.password, code).code == 1
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "state-unavailable"
    assert decision["detail"] == "only root can record a recovery code as used"
    assert verify(alice, code).code == ACCEPTED


@pytest.mark.parametrize("planted", ["a link", "a folder of others", "writable by all"])
def test_spoiled_run_folder_is_refused(
    alice: User, credential: Credential, syslog: SystemLog, planted: str
) -> None:
    folder = Path("/run/user") / str(alice.uid) / "pam-totp"
    if planted == "a link":
        folder.symlink_to("/tmp")
    else:
        folder.mkdir(mode=0o700)
        if planted == "writable by all":
            os.chown(folder, alice.uid, alice.gid)
            folder.chmod(0o777)
        else:
            folder.chmod(0o755)
    assert verify_as(alice, alice.name, credential.fresh_code()) == REFUSED
    assert syslog.decisions()[-1]["reason"] == "state-unavailable"


def test_root_that_acts_for_a_user_uses_roots_state(alice: User, credential: Credential) -> None:
    subprocess.run(["pamtester", LOCKER, alice.name, "authenticate"],
                   input=f"{alice.password}\n{credential.fresh_code()}\n", text=True,
                   capture_output=True, check=True)  # fmt: skip
    assert (RECORDS / str(alice.uid)).exists()
    assert not (Path("/run/user") / str(alice.uid) / "pam-totp").exists()
