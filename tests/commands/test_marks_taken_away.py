# SPDX-License-Identifier: MIT
"""grant, unlock, reset, migrate and contact take a user's mark away before they change anything
else, and say aloud where they cannot."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import assert_refused, configured, pam_totp, read_only, secret_of, tree
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED, RECORDS, STATE
from tests.host.system_log import SystemLog
from tests.login.marks import MARKS, answer_of_gate, decides, is_certain, log_in, mark_of
from tests.login.programs import gate, verify

COMMANDS = [
    ["grant", "{}"],
    ["grant", "{}", "--once", "--for", "1h"],
    ["unlock", "{}"],
    ["reset", "{}", "--yes"],
    ["migrate", "{}"],
    ["migrate", "--all"],
    ["contact", "{}", "--mail", "a@example.org", "--unconfirmed"],
]


@pytest.fixture
def marked(user: User, credential: Credential) -> Iterator[User]:
    """Who has logged in with a code, and whose secret is not in the active store any more."""
    log_in(credential)
    assert is_certain(user)
    yield user


def words_of(command: list[str], user: User) -> list[str]:
    return [word.format(user.name) for word in command]


def settings_of(command: list[str]) -> "contextlib.AbstractContextManager[object]":
    """Under which there is something to do."""
    text = "store: system\n" if command[0] == "migrate" else "store: user\n"
    return configured(text, settled=True)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_takes_the_mark_away(marked: User, command: list[str]) -> None:
    with settings_of(command):
        assert mark_of(marked).exists()
        assert pam_totp(*words_of(command, marked)).code == 0
        assert not mark_of(marked).exists()


@contextlib.contextmanager
def unchangeable(path: Path) -> Iterator[None]:
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


def immutable(user: User) -> contextlib.AbstractContextManager[None]:
    return unchangeable(mark_of(user))


def immutable_folder(_user: User) -> contextlib.AbstractContextManager[None]:
    return unchangeable(MARKS)


@contextlib.contextmanager
def mount_point(user: User) -> Iterator[None]:
    path = str(mark_of(user))
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@contextlib.contextmanager
def writable_by_others(user: User) -> Iterator[None]:
    MARKS.chmod(0o777)
    try:
        yield
    finally:
        MARKS.chmod(0o700)


def on_read_only_disk(user: User) -> "contextlib.AbstractContextManager[None]":
    return read_only(MARKS)


OBSTACLES = {
    "read-only": (on_read_only_disk, "Read-only file system", f"findmnt -T {MARKS}"),
    "immutable": (immutable, "Operation not permitted", f"lsattr -a {MARKS}"),
    "in an immutable folder": (immutable_folder, "Operation not permitted", f"lsattr -a {MARKS}"),
    "a mount point": (mount_point, "Device or resource busy", f"namei -l {MARKS}"),
    "open to others": (writable_by_others, "is writable by others", f"chmod 700 {MARKS}"),
}


HINDERED = [
    *((command, obstacle) for command in COMMANDS for obstacle in ("read-only", "immutable")),
    *((COMMANDS[0], obstacle) for obstacle in list(OBSTACLES)[2:]),
]


@pytest.mark.parametrize(("command", "obstacle"), HINDERED)
def test_command_that_cannot_take_the_mark_away_says_so_and_changes_nothing(
    marked: User, syslog: SystemLog, command: list[str], obstacle: str
) -> None:
    with settings_of(command):
        gate(marked.name)  # makes the snapshot
        (RECORDS / str(marked.uid)).touch()
        before = tree(RECORDS), tree(STATE), tree(marked.home)
        hinder, fault, hint = OBSTACLES[obstacle]
        syslog.clear()
        with hinder(marked):
            answer = pam_totp(*words_of(command, marked))
        assert_refused(answer, fault)
        first, second = answer.errors.splitlines()
        assert str(MARKS) in first
        assert "nothing was changed" in first
        assert second == f"hint: {'pam-totp users' if '--all' in command else hint}"
        assert (tree(RECORDS), tree(STATE), tree(marked.home)) == before
        assert not any(each.startswith("removed ") for each in answer.output.splitlines())
        assert syslog.decisions() == []
        assert not syslog.lines("action=")


def test_of_all_whose_secrets_are_moved_one_whose_mark_stays_is_named(
    marked: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    other = make_user()
    enrolled(other)
    with configured("store: system\n"), immutable(marked):
        answer = pam_totp("migrate", "--all", "--json")
        found = json.loads(answer.output)
        assert answer.code == 1
        assert other.name in [each["user"] for each in found["moved"]]
        assert [each["user"] for each in found["not_moved"]] == [marked.name]
    assert secret_of(marked).exists()


@pytest.mark.parametrize("store", ["system", "user"])
def test_migrated_user_is_asked_and_accepted(
    marked: User, credential: Credential, store: str
) -> None:
    for active in ("system", "user")[: 1 if store == "system" else 2]:
        with configured(f"store: {active}\n", settled=True):
            assert pam_totp("migrate", marked.name).code == 0
            assert decides(marked) == ASK
            log_in(credential)
            log_in(credential)
            assert is_certain(marked)


@pytest.mark.parametrize("option", [["--once"], ["--for", "1h"]])
def test_granted_user_is_let_through_whatever_a_login_left(
    marked: User, credential: Credential, option: list[str]
) -> None:
    mark = mark_of(marked).read_bytes()
    assert pam_totp("grant", marked.name, *option).code == 0
    log_in(credential)  # with a code, as somebody who does not know of the grant
    assert mark_of(marked).read_bytes() == mark
    assert decides(marked) == NO_CODE_NEEDED
    assert gate(marked.name) == (ASK if option == ["--once"] else NO_CODE_NEEDED)
    if option == ["--once"]:
        assert is_certain(marked), "the grant is used up, and the mark of the last login holds"
    else:
        assert pam_totp("grant", marked.name, "--end").code == 0
        assert is_certain(marked)


@pytest.mark.parametrize("kind", ["over", "to come", "malformed", "empty", "a folder", "a link"])
def test_gate_looks_at_a_grant_that_does_not_count(marked: User, kind: str) -> None:
    """It says why in the log, where it is malformed."""
    path, now = STATE / "grants" / str(marked.uid), int(time.time())
    path.parent.mkdir(mode=0o700, exist_ok=True)
    times = {"over": (now - 60, now - 1), "to come": (now + 600, now + 900)}.get(kind, (0, 0))
    text = f"pam-totp grant 1 {times[0]} {times[1]} MANY {marked.name}\n"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a link":
        path.symlink_to("/nowhere")
    else:
        path.write_text({"malformed": "x\n", "empty": ""}.get(kind, text), encoding="ascii")
        path.chmod(0o600)
    try:
        assert decides(marked) == ASK
    finally:
        if kind == "a folder":
            path.rmdir()


def test_reset_user_is_not_asked(marked: User) -> None:
    mark = mark_of(marked).read_bytes()
    assert pam_totp("reset", marked.name, "--yes").code == 0
    assert answer_of_gate(marked) == (NO_CODE_NEEDED, True)
    mark_of(marked).write_bytes(mark)  # as a login at the same moment may leave it
    mark_of(marked).chmod(0o600)
    assert answer_of_gate(marked) == (NO_CODE_NEEDED, True)


def test_unlocked_user_is_told_nothing_and_accepted(marked: User, credential: Credential) -> None:
    for index in range(6):
        verify(marked.name, credential.incorrect_code(index))
    assert pam_totp("unlock", marked.name).code == 0
    assert decides(marked) == ASK
    log_in(credential)
    assert is_certain(marked)


def test_commands_work_for_a_user_of_a_name_that_no_file_can_have(
    user: User, credential: Credential
) -> None:
    passwd = Path("/etc/passwd")
    before = passwd.read_bytes()
    MARKS.mkdir(mode=0o700, exist_ok=True)
    for name in ("..", "x" * 300, "../20001"):
        passwd.write_bytes(before.replace(f"\n{user.name}:".encode(), f"\n{name}:".encode()))
        try:
            assert pam_totp("grant", name).code == 0
            assert decides(name) == NO_CODE_NEEDED
            assert pam_totp("grant", name, "--end").code == 0
            assert pam_totp("unlock", name).code == 0
            assert verify(name, credential.incorrect_code()) != ACCEPTED
        finally:
            passwd.write_bytes(before)


@pytest.mark.parametrize("command", COMMANDS[:5], ids=" ".join)
def test_read_only_memory_is_no_obstacle_where_there_is_no_mark(
    user: User, credential: Credential, command: list[str]
) -> None:
    MARKS.mkdir(mode=0o700, exist_ok=True)
    with settings_of(command), read_only(MARKS):
        answer = pam_totp(*words_of(command, user))
    assert (answer.code, answer.errors) == (0, "")


def test_mark_whose_end_is_not_confirmed_by_the_disk_is_gone_all_the_same(marked: User) -> None:
    """It is kept in memory; of the grant nothing is said that is not so."""
    fails = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1"]
    answer = pam_totp(
        *("grant", marked.name), through=["strace", "-f", "-qq", "-o", "/dev/null", *fails]
    )
    assert (answer.code, answer.errors) == (0, "")
    assert answer.output.startswith(f"{marked.name} can log in without a code until ")
    assert decides(marked) == NO_CODE_NEEDED
