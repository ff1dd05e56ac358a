# SPDX-License-Identifier: MIT
"""`pam-totp reset`: a user is "not enrolled" again, all of it, and only when root means it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import (
    assert_refused,
    configured,
    gate,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    run,
    secret_of,
    tree,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, COMMAND, NO_CODE_NEEDED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, Conversation
from tests.sending.outbox import NUMBER, give_contact

Converse = Callable[..., Conversation]


@pytest.fixture
def marked(user: User, enrolled: Callable[..., Credential]) -> Credential:
    """A user who has logged in with a code, a recovery code, incorrect codes and a grant."""
    credential = enrolled(user)
    codes = new_recovery_codes(user)
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert verify(user, codes[0]).code == ACCEPTED
    for index in range(5):
        verify(user, credential.incorrect_code(index))
    return credential


def state_of(user: User) -> list[str]:
    """Every file of ours that is this user's."""
    uid = str(user.uid)
    found = [*STATE.rglob(uid), *RECORDS.rglob(uid)]
    found += [path for path in (secret_of(user), recovery_of(user)) if os.path.lexists(path)]
    found += list((STATE / "secrets").glob(user.name))
    return [str(path) for path in found if not path.is_dir() or any(path.iterdir())]


def test_everything_of_the_user_is_gone_and_each_was_named(user: User, marked: Credential) -> None:
    pam_totp("grant", user.name)
    before = state_of(user)
    assert len(before) == 6
    done = pam_totp("reset", "--yes", user.name)
    assert done.code == 0
    assert state_of(user) == []
    for path in before:
        assert f"removed {path}\n" in done.output
    assert done.output.endswith(f"{user.name} is no longer enrolled.\n")
    assert gate(user).code == NO_CODE_NEEDED


def test_it_says_what_it_removes_before_it_does(user: User, marked: Credential) -> None:
    output = pam_totp("reset", "--yes", user.name).output
    assert output.startswith(f"This removes the second factor of {user.name}: the secret and")
    assert output.index("This removes") < output.index("removed ")


@pytest.mark.parametrize("answer", ["y", "Y", "yes", " YES "])
def test_yes_at_the_terminal_resets(
    user: User, marked: Credential, on_terminal: Converse, answer: str
) -> None:
    done = on_terminal([COMMAND, "reset", user.name], [(r"Continue\? \[y/N\]", answer)])
    assert done.status == 0
    assert gate(user).code == NO_CODE_NEEDED


def test_question_is_at_the_terminal_and_what_was_removed_in_the_file(
    user: User, marked: Credential, on_terminal: Converse, tmp_path: Path
) -> None:
    command = ["/bin/sh", "-c", f"{COMMAND} reset {user.name} >{tmp_path}/log"]
    done = on_terminal(command, [(r"Continue\? \[y/N\]", "y")])
    assert done.status == 0
    assert "This removes the second factor" in done.transcript
    assert (tmp_path / "log").read_text(encoding="utf-8").startswith("removed /")


@pytest.mark.parametrize("answer", ["n", "", "no", "yep", "j", CTRL_C, CTRL_D])
def test_anything_else_at_the_terminal_changes_nothing(
    user: User, marked: Credential, on_terminal: Converse, answer: str
) -> None:
    before = tree(STATE), tree(RECORDS), tree(user.home)
    done = on_terminal([COMMAND, "reset", user.name], [(r"Continue\? \[y/N\]", answer)])
    assert done.status == 1
    errors = done.transcript[done.transcript.index("pam-totp: error: ") :].strip().splitlines()
    assert len(errors) == 2
    assert "nothing was changed" in errors[0]
    assert errors[1].startswith("hint: ")
    assert (tree(STATE), tree(RECORDS), tree(user.home)) == before


def test_without_a_terminal_it_wants_to_be_told_yes(user: User, marked: Credential) -> None:
    before = tree(STATE)
    answer = pam_totp("reset", user.name, typed="y\n")
    assert_refused(answer, "standard input is not a terminal; nothing was changed")
    assert answer.errors.endswith(f"hint: pam-totp reset {user.name} --yes\n")
    assert tree(STATE) == before


def test_explanation_stands_before_the_error_in_one_file(user: User) -> None:
    log = run(["/bin/sh", "-c", f"{COMMAND} reset {user.name} 2>&1 </dev/null"]).output
    assert log.startswith("This removes the second factor")
    assert log.splitlines()[-2].startswith("pam-totp: error: standard input is not a terminal")


def test_error_is_said_where_the_output_cannot_be(user: User) -> None:
    done = run(["/bin/sh", "-c", f"{COMMAND} reset {user.name} </dev/null >/dev/full"])
    assert_refused(done, "standard input is not a terminal; nothing was changed")


def test_user_who_was_never_enrolled_can_be_reset_and_had_nothing(
    user: User, syslog: SystemLog
) -> None:
    done = pam_totp("reset", "--yes", user.name)
    assert done.code == 0
    assert done.output.endswith(
        f"{user.name} has no second factor, so there was nothing to remove.\n"
    )
    assert gate(user).code == NO_CODE_NEEDED
    assert syslog.lines("action=reset") == []


def test_second_reset_says_that_there_was_nothing_left(user: User, marked: Credential) -> None:
    assert "is no longer enrolled" in pam_totp("reset", "--yes", user.name).output
    second = pam_totp("reset", "--yes", user.name)
    assert second.code == 0
    assert "no longer enrolled" not in second.output
    assert "nothing to remove" in second.output


def test_secrets_of_both_stores_are_removed(user: User, marked: Credential) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
    user.give(secret_of(user), "left over\n")
    assert pam_totp("reset", "--yes", user.name).code == 0
    assert state_of(user) == []


def remove_secret(user: User) -> None:
    secret_of(user).unlink()


def move_folder(user: User) -> None:
    secret_of(user).parent.rename(user.home / "elsewhere")


def move_configuration(user: User) -> None:
    (user.home / ".config").rename(user.home / "elsewhere")


@pytest.mark.parametrize("act", [remove_secret, move_folder, move_configuration])
def test_enforced_user_whose_secret_is_gone_is_refused_until_reset(
    user: User, marked: Credential, syslog: SystemLog, act: Callable[[User], None]
) -> None:
    """Rule 4, as in pam_oath 2.6.14."""
    pam_totp("unlock", user.name)
    act(user)
    assert gate(user).code == ASK
    assert verify(user, marked.code(1)).code == REFUSED
    assert syslog.decisions()[-1]["reason"] == "secret-missing"
    assert pam_totp("reset", "--yes", user.name).code == 0
    assert gate(user).code == NO_CODE_NEEDED


def test_empty_mount_over_the_home_is_refused_until_reset(
    user: User, marked: Credential, syslog: SystemLog
) -> None:
    pam_totp("unlock", user.name)
    with mounted(user.home, f"size=64k,mode=700,uid={user.uid}"):
        assert gate(user).code == ASK
        assert verify(user, marked.code(1)).code == REFUSED
        assert syslog.decisions()[-1]["reason"] == "secret-missing"
        assert pam_totp("reset", "--yes", user.name).code == 0
        assert gate(user).code == NO_CODE_NEEDED
    assert gate(user).code == ASK


def test_home_that_is_gone_is_refused_and_can_be_reset(
    user: User, marked: Credential, syslog: SystemLog
) -> None:
    moved = user.home.rename(user.home.with_name("moved"))
    try:
        assert gate(user).code == ASK
        assert verify(user, "123456").code == REFUSED
        assert syslog.decisions()[-1]["reason"] == "secret-missing"
        assert pam_totp("reset", "--yes", user.name).code == 0
        assert not (STATE / "enforced" / str(user.uid)).exists()
    finally:
        moved.rename(user.home)


def test_reset_that_fails_half_way_leaves_the_login_refused(user: User, marked: Credential) -> None:
    with read_only(STATE):
        answer = pam_totp("reset", "--yes", user.name)
    assert answer.code == 1
    assert len(answer.errors.splitlines()) == 2
    assert gate(user).code == ASK
    assert verify(user, marked.code(1)).code == REFUSED
    assert pam_totp("reset", "--yes", user.name).code == 0
    assert gate(user).code == NO_CODE_NEEDED


def test_disk_that_cannot_be_written_is_an_error_with_a_next_step(
    user: User, marked: Credential
) -> None:
    with read_only(STATE):
        assert_refused(pam_totp("reset", "--yes", user.name), "Read-only file system")
        errors = pam_totp("reset", "--yes", user.name).errors
    assert "unexpected failure" not in errors


def test_user_whose_folder_is_unsafe_can_be_reset(user: User, marked: Credential) -> None:
    """Whom the login refuses for it (secret-unsafe), root must be able to help."""
    secret_of(user).parent.chmod(0o770)
    assert pam_totp("reset", "--yes", user.name).code == 0
    assert gate(user).code == NO_CODE_NEEDED


def test_planted_link_in_the_home_removes_nobody_elses_file(user: User, marked: Credential) -> None:
    victim = "/root/.config/pam-totp"
    os.makedirs(victim, exist_ok=True)
    with open(f"{victim}/secret", "w", encoding="ascii") as file:
        file.write("root's\n")
    folder = secret_of(user).parent
    folder.rename(folder.with_name("own"))
    folder.symlink_to(victim)
    pam_totp("reset", "--yes", user.name)
    with open(f"{victim}/secret", encoding="ascii") as file:
        assert file.read() == "root's\n"
    shutil.rmtree(victim)


def folder_for(user: User, path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    for folder in (path, path.parent, path.parent.parent):
        os.chown(folder, user.uid, user.gid)


@pytest.mark.parametrize("path_of", [secret_of, recovery_of])
def test_empty_folder_where_a_secret_file_should_be_is_removed(
    user: User, marked: Credential, path_of: Callable[[User], Path]
) -> None:
    folder_for(user, path_of(user))
    answer = pam_totp("reset", "--yes", user.name)
    assert (answer.code, answer.errors) == (0, "")
    assert f"removed {path_of(user)}\n" in answer.output
    assert state_of(user) == []
    assert gate(user).code == NO_CODE_NEEDED


@pytest.mark.parametrize("path_of", [secret_of, recovery_of])
def test_folder_that_is_not_empty_is_named_with_what_removes_it(
    user: User, marked: Credential, path_of: Callable[[User], Path], syslog: SystemLog
) -> None:
    """What was removed before it is said and logged; logins still need a code."""
    folder_for(user, path_of(user))
    (path_of(user) / "mine").touch()
    answer = pam_totp("reset", "--yes", user.name)
    fault = f"not everything was removed: {path_of(user)} is a folder that is not empty"
    assert_refused(answer, fault)
    assert answer.errors.endswith(f"\nhint: rm -r {path_of(user)}\n")
    assert (f"removed {secret_of(user)}\n" in answer.output) == (path_of is recovery_of)
    assert [line.fields["action"] for line in syslog.lines("action=reset")] == ["reset-in-part"]
    assert gate(user).code == ASK
    shutil.rmtree(path_of(user))
    assert pam_totp("reset", "--yes", user.name).code == 0
    assert gate(user).code == NO_CODE_NEEDED


def test_contacts_are_removed_and_the_commands_that_set_them_again_are_shown(
    user: User, marked: Credential
) -> None:
    """Text messages go to the phone that is lost."""
    give_contact(user, ("sms", NUMBER), ("mail", "a@example.org"))
    output = pam_totp("reset", "--yes", user.name).output
    assert f"removed {STATE}/contacts/{user.uid}\n" in output
    assert f"run: pam-totp contact {user.name} --sms {NUMBER}\n" in output
    assert f"run: pam-totp contact {user.name} --mail a@example.org\n" in output
    assert state_of(user) == []


def test_malformed_records_keep_no_contact(user: User) -> None:
    give_contact(user, ("sms", NUMBER))
    for path in (STATE / "contacts" / str(user.uid), RECORDS / str(user.uid)):
        path.write_text("junk")
        path.chmod(0o600)
    assert pam_totp("reset", "--yes", user.name).code == 0
    assert state_of(user) == []
