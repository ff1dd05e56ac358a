# SPDX-License-Identifier: MIT
"""`pam-totp migrate`: a user's secret follows the settings into the active store."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest

from tests.commands.commands import (
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
from tests.host.accounts import User, run
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, COMMAND, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.tokens import Token


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


def test_user_without_a_secret_anywhere_is_an_error(user: User) -> None:
    assert_refused(pam_totp("migrate", user.name), f"{user.name} has no secret in")


@pytest.mark.parametrize("store", ["system", "user"])
def test_second_move_changes_nothing_and_is_no_error(
    user: User, credential: Credential, store: str
) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
    with configured(f"store: {store}\n"):
        first = json.loads(pam_totp("migrate", user.name, "--json").output)
        assert first["changed"] == (store == "user")
        second = pam_totp("migrate", user.name, "--json")
        assert (second.code, second.errors) == (0, "")
        assert json.loads(second.output) == {"changed": False, "moved": [], "not_moved": []}
        assert "Nothing to move" in pam_totp("migrate", user.name).output
        assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert kept(user).exists() == (store == "system")
    assert kept(user).parent.exists() == (store == "system")


def test_all_are_moved_both_ways_and_who_cannot_be_is_named(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    users = [make_user() for _ in range(4)]
    credentials = [enrolled(user) for user in users[:3]]
    secret_of(users[2]).chmod(0o644)
    with configured("store: system\n"):
        answer = pam_totp("migrate", "--all", "--json")
        found = json.loads(answer.output)
        assert answer.code == 1
        assert [each["user"] for each in found["moved"]] == [each.name for each in users[:2]]
        assert [each["user"] for each in found["not_moved"]] == [users[2].name]
        assert f"{users[2].name} (" in answer.errors
        assert len(answer.errors.splitlines()) == 2
        secret_of(users[2]).chmod(0o600)
        assert pam_totp("migrate", "--all").code == 0
        for user, credential in zip(users, credentials):  # noqa: B905 - the fourth has none
            assert verify(user, credential.fresh_code()).code == ACCEPTED
    again = json.loads(pam_totp("migrate", "--all", "--json").output)
    assert [each["user"] for each in again["moved"]] == [each.name for each in users[:3]]
    assert all(secret_of(user).exists() for user in users[:3])
    assert json.loads(pam_totp("migrate", "--all", "--json").output)["changed"] is False


def test_renamed_user_is_named_with_the_command_that_moves_the_secret(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    user = make_user("before")
    credential = enrolled(user)
    with configured("store: system\n"):
        assert pam_totp("migrate", "before").code == 0
        assert verify(user, credential.fresh_code()).code == ACCEPTED
        run("usermod", "-l", "after", "before")
        try:
            syslog.clear()
            assert verify("after", credential.fresh_code()).code == REFUSED
            detail = syslog.decisions()[-1]["detail"]
            assert "pam-totp migrate after --renamed-from OLD" in detail
            rows = {row["user"]: row for row in json.loads(pam_totp("users", "--json").output)}
            command = "pam-totp migrate after --renamed-from before"
            assert command in rows["after"]["fault"]
            assert "--renamed-from before" in rows["before"]["fault"]
            assert rows["before"]["uid"] is None
            for _ in range(2):
                moved = pam_totp(*command.split()[1:])
                assert (moved.code, moved.errors) == (0, "")
            assert verify("after", credential.fresh_code()).code == ACCEPTED
            assert "before" not in pam_totp("users").output
        finally:
            pam_totp("reset", "--yes", "after")
            run("usermod", "-l", "before", "after")


def test_secret_of_somebody_else_is_not_moved_as_of_a_renamed_user(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    first, second = make_user(), make_user()
    enrolled(first)
    with configured("store: system\n"):
        assert pam_totp("migrate", first.name).code == 0
        answer = pam_totp("migrate", second.name, "--renamed-from", first.name)
        assert_refused(answer, f"there is a user '{first.name}'")
        answer = pam_totp("migrate", second.name, "--renamed-from", "../marks")
        assert_refused(answer, "cannot move the secret")
        assert kept(first).exists()
        assert not kept(second).exists()


@pytest.mark.parametrize("arguments", [[], ["--all", "somebody"], ["--all", "--renamed-from", "x"]])
def test_who_is_meant_must_be_said(arguments: list[str]) -> None:
    answer = pam_totp("migrate", *arguments)
    assert answer.code == 2
    assert answer.errors.startswith("pam-totp: error: name one user, or use --all\nhint: pam-totp ")


def test_file_of_another_program_is_not_taken_for_a_user(user: User) -> None:
    file = user.home / ".google_authenticator"
    user.give(file, "JBSWY3DPEHPK3PXP\n")
    answer = pam_totp("migrate", str(file))
    assert_refused(answer, "is a file, not a user")
    assert "hint: pam-totp import --help" in answer.errors


def test_different_secret_in_the_way_is_an_error_and_both_stay(
    user: User, credential: Credential
) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
        user.give(secret_of(user), "another\n")
        before = kept(user).read_bytes()
        assert_refused(pam_totp("migrate", user.name), "exists and differs")
        assert (kept(user).read_bytes(), secret_of(user).read_text()) == (before, "another\n")


def test_interrupted_move_can_be_repeated(user: User, credential: Credential) -> None:
    with configured("store: system\n"):
        with read_only(user.home):
            assert_refused(pam_totp("migrate", user.name), "Read-only file system")
        assert kept(user).read_bytes() == secret_of(user).read_bytes()
        assert pam_totp("migrate", user.name).code == 0
        assert not secret_of(user).exists()
        assert verify(user, credential.fresh_code()).code == ACCEPTED


class Equipped:
    """A user with a phone, a hardware token that counts, a device that nobody has confirmed, a
    comment and recovery codes."""

    def __init__(self, user: User) -> None:
        self.user, self.token = user, Token(user)
        (secret,) = new_secrets()
        self.phone = Credential(user, secret)
        label = f"server:{user.name}"
        self.content = (
            f"# mine\notpauth://totp/{label}?secret={secret}&added=20261129T1711Z my phone\n"
            f"{self.token.line(2)}\n"
            f"otpauth://totp/{label}?secret={pyotp.random_base32()}"
            "&unconfirmed=20261129T1712Z sheet\n"
        )
        user.give(secret_of(user), self.content)
        self.codes = new_recovery_codes(user)

    def put_back(self, recovery: str) -> None:
        """As it was before any move."""
        shutil.rmtree(kept(self.user).parent, ignore_errors=True)
        self.user.give(secret_of(self.user), self.content)
        self.user.give(recovery_of(self.user), recovery)


@pytest.fixture
def equipped(user: User) -> Equipped:
    return Equipped(user)


def test_several_devices_move_both_ways_and_what_was_used_stays_used(equipped: Equipped) -> None:
    user, token, codes = equipped.user, equipped.token, equipped.codes
    listed = pam_totp("devices", "--user", user.name, "--json").output
    used = [equipped.phone.fresh_code(), token.code(4), codes[0]]
    assert [verify(user, each).code for each in used] == [ACCEPTED] * 3
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
        assert kept(user).read_text(encoding="ascii") == equipped.content
        assert pam_totp("devices", "--user", user.name, "--json").output != ""
        assert [verify(user, each).code for each in [*used, token.code(3)]] == [REFUSED] * 4
        more = [equipped.phone.fresh_code(), token.code(6), codes[1]]
        assert [verify(user, each).code for each in more] == [ACCEPTED] * 3
    assert pam_totp("migrate", "--all").code == 0
    assert secret_of(user).read_text(encoding="ascii") == equipped.content
    assert [verify(user, each).code for each in used + more] == [REFUSED] * 6
    assert [verify(user, each).code for each in (token.code(7), codes[2])] == [ACCEPTED] * 2
    now = json.loads(pam_totp("devices", "--user", user.name, "--json").output)
    before = json.loads(listed)
    assert [each["since"] for each in now["devices"]] == [e["since"] for e in before["devices"]]
    assert [each["device"] for each in now["devices"]] == ["my phone", "token", "sheet"]


def test_move_that_ends_before_the_old_files_are_removed_leaves_every_code_good(
    equipped: Equipped,
) -> None:
    user = equipped.user
    with configured("store: system\n"):
        with read_only(user.home):
            assert_refused(pam_totp("migrate", user.name), "Read-only file system")
        good = [equipped.phone.fresh_code(), equipped.token.code(2), equipped.codes[0]]
        assert [verify(user, each).code for each in good] == [ACCEPTED] * 3
        assert pam_totp("migrate", user.name).code == 0
        assert [verify(user, each).code for each in good] == [REFUSED] * 3
        assert verify(user, equipped.codes[1]).code == ACCEPTED
    assert not secret_of(user).exists() and not recovery_of(user).exists()


@pytest.mark.parametrize("call", ["fsync", "renameat", "unlinkat"])
def test_move_that_is_killed_at_any_call_is_finished_by_the_next(
    equipped: Equipped, call: str
) -> None:
    """What is in the active store is whole: the secret never without its recovery codes."""
    user = equipped.user
    recovery = recovery_of(user).read_text(encoding="ascii")
    with configured("store: system\n"):
        for number in range(1, 9):
            equipped.put_back(recovery)
            inject = f"inject={call}:signal=KILL:when={number}"
            through = [
                "strace",
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                f"trace={call}",
                "-e",
                inject,
            ]
            killed = pam_totp("migrate", user.name, through=through).code != 0
            there = [path.exists() for path in (kept(user), kept(user).with_name("recovery"))]
            assert there in ([False, False], [False, True], [True, True])
            assert any(path.exists() for path in (kept(user), secret_of(user)))
            assert pam_totp("migrate", user.name).code == 0
            assert kept(user).read_text(encoding="ascii") == equipped.content
            assert kept(user).with_name("recovery").read_text(encoding="ascii") == recovery
            assert not secret_of(user).exists() and not recovery_of(user).exists()
            if not killed:
                break
        assert number > 1 and not killed, "each of these calls was reached"


def test_secret_that_comes_about_meanwhile_is_not_overwritten(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    """As by another command of root's, between the look and the move: that is stopped there."""
    other = "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP other\n"
    trace, folder = tmp_path / "trace", kept(user).parent
    stop = ["-e", "trace=mkdir", "-e", "inject=mkdir:signal=STOP:when=1"]
    command = ["strace", "-f", "-o", str(trace), *stop, COMMAND, "migrate", user.name]
    with configured("store: system\n"):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as moving:
            while "stopped by SIGSTOP" not in (trace.read_text() if trace.exists() else ""):
                assert moving.poll() is None
                time.sleep(0.05)
            folder.mkdir(mode=0o700, parents=True)
            folder.parent.chmod(0o700)
            kept(user).write_text(other)
            kept(user).chmod(0o600)
            os.kill(int(trace.read_text().split()[0]), signal.SIGCONT)
            errors = moving.stderr.read() if moving.stderr else ""
        assert moving.returncode == 1
        assert "was changed meanwhile" in errors and len(errors.splitlines()) == 2
    assert kept(user).read_text() == other and secret_of(user).exists()


@pytest.mark.parametrize("path_of", [secret_of, recovery_of])
def test_what_the_user_saves_meanwhile_is_not_removed(
    equipped: Equipped, tmp_path: Path, path_of: Callable[[User], Path]
) -> None:
    """As by a command that the user began before the store was another."""
    user, new = equipped.user, path_of(equipped.user).read_text("ascii") + "# new\n"
    before = secret_of(user).read_bytes(), recovery_of(user).read_bytes()
    trace = tmp_path / "trace"
    stop = ["-e", "trace=renameat", "-e", "inject=renameat:signal=STOP:when=1"]
    command = ["strace", "-f", "-o", str(trace), *stop, COMMAND, "migrate", user.name]
    with configured("store: system\n", settled=True):
        pam_totp("users")  # which keeps a snapshot of the settings: another file that is renamed
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as moving:
            while "stopped by SIGSTOP" not in (trace.read_text() if trace.exists() else ""):
                assert moving.poll() is None
                time.sleep(0.05)
            user.give(path_of(user), new)
            os.kill(int(trace.read_text().split()[0]), signal.SIGCONT)
            errors = moving.stderr.read() if moving.stderr else ""
        assert moving.returncode == 1
        assert f"{path_of(user)} was changed meanwhile" in errors, errors
        assert len(errors.splitlines()) == 2
    assert path_of(user).read_text("ascii") == new
    assert secret_of(user).exists() and recovery_of(user).exists(), "all of it stays"
    assert (kept(user).read_bytes(), kept(user).with_name("recovery").read_bytes()) == before


def test_ctrl_c_ends_a_move_of_all_between_two_users(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], tmp_path: Path
) -> None:
    users = [make_user() for _ in range(3)]
    for user in users:
        enrolled(user)
    # As by the terminal, to the command and to its process, which is stopped in its first move.
    stop = ["-e", "trace=renameat,select,pselect6", "-e", "inject=renameat:signal=STOP:when=1"]
    trace = tmp_path / "trace"
    with configured("store: system\n", settled=True):
        pam_totp("users")  # which keeps a snapshot of the settings: another file that is renamed
        command = ["strace", "-f", "-o", str(trace), *stop, COMMAND, "migrate", "--all"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as moving:

            def wait_for(text: str) -> list[str]:
                while text not in (trace.read_text() if trace.exists() else ""):
                    assert moving.poll() is None
                    time.sleep(0.01)
                return trace.read_text().partition(text)[0].splitlines()

            first, *_, last = wait_for("stopped by SIGSTOP")
            numbers = int(first.split()[0]), int(last.split()[0])
            for number in numbers:
                os.kill(number, signal.SIGINT)
            wait_for("SIGINT {si_signo=SIGINT")
            os.kill(numbers[1], signal.SIGCONT)
            errors = moving.stderr.read() if moving.stderr else ""
        assert moving.returncode == 1
        assert "interrupted; users whose secrets were moved, each wholly: at least " in errors
        there = [(kept(user).exists(), secret_of(user).exists()) for user in users]
        assert there == [(True, False), (False, True), (False, True)]
        assert pam_totp("migrate", "--all").code == 0
        assert all(kept(user).exists() for user in users)


def test_full_disk_loses_no_secret(user: User, credential: Credential) -> None:
    before = secret_of(user).read_bytes()
    with configured("store: system\n"):
        with mounted(STATE, "size=4k,nr_inodes=2,mode=700"):
            (STATE / "secrets").mkdir(mode=0o700)
            assert_refused(pam_totp("migrate", user.name), "No space left")
        assert secret_of(user).read_bytes() == before
        assert not kept(user).exists()


def test_unsafe_secret_is_not_moved(user: User, credential: Credential) -> None:
    secret_of(user).chmod(0o644)
    with configured("store: system\n"):
        assert_refused(pam_totp("migrate", user.name), "cannot move the secret")
    assert not kept(user).exists()


def test_move_is_logged(user: User, credential: Credential, syslog: SystemLog) -> None:
    """A secret that changes hands is as much as a grant."""
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
    assert syslog.lines("action=migrate")[0].fields["user"] == user.name
