# SPDX-License-Identifier: MIT
"""An enrollment of many users that is killed or interrupted at any step is finished by the next."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.commands.commands import Answer, pam_totp, secret_of, verify
from tests.host.accounts import User, run
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, COMMAND
from tests.sheets.crowd import (
    assert_whole,
    keys_of_table,
    picture_of,
    printed_key,
    saved_key,
    sheet_of,
)

# What changes a file, or says that it is on the disk; `write`: those of sheet, secret and table.
CALLS = "mkdir,mkdirat,write,fsync,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
CALL = re.compile(r"^(\d+) +(\w+)\(")
# Of one that does nothing on the way: a file that is not there, or pipes of the processes.
HARMLESS = re.compile(r"ENOENT|EEXIST|<pipe:|write\([12]<")


class Run:
    """The command for two users, with a table, and what it has left."""

    def __init__(self, users: list[User], folder: Path) -> None:
        self.users, self.folder = users, folder
        self.sheets, self.table = folder / "sheets", folder / "table.csv"
        self.trace = folder / "trace"

    def __call__(self, *through: str) -> Answer:
        names = "".join(f"{user.name}\n" for user in self.users)
        return pam_totp(*self.arguments(), typed=names, through=through)

    def arguments(self, names: str = "-") -> list[str]:
        command = ["enroll", "--users", names, "--sheets", str(self.sheets), "--pictures"]
        return [*command, "--table", str(self.table)]

    def begin_anew(self) -> None:
        homes = [str(user.home / ".config") for user in self.users]
        run("rm", "-rf", str(self.sheets), str(self.table), *homes)

    def steps(self) -> Iterator[tuple[str, int]]:
        """Each call of a clean run that changes a file: its name, and the how manieth it is of the
        process that makes it."""
        self.begin_anew()
        done = self("strace", "-f", "-y", "-o", str(self.trace), "-e", f"trace={CALLS}")
        assert (done.code, done.errors) == (0, "")
        counted: dict[tuple[str, str], int] = {}
        lines = self.trace.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            found = CALL.match(line)
            if found:
                process, call = found.groups()
                counted[process, call] = counted.get((process, call), 0) + 1
                if not HARMLESS.search(line):
                    yield call, counted[process, call]

    def unfinish(self, user: User) -> Path:
        """Makes it as a kill after the secret was saved leaves it; the sheet."""
        for kind in ("html", "png"):
            path = self.sheets / f"{user.name}.{kind}"
            path.rename(self.sheets / f".{path.name}.new")
        return self.sheets / f".{user.name}.html.new"

    def on_a_slow_disk(self, delay: str) -> "subprocess.Popen[str]":
        """A run whose process group is its own, as at a terminal."""
        names = self.folder / "names"
        names.write_text("".join(f"{user.name}\n" for user in self.users))
        slow = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync"]
        slow += ["-e", f"inject=fsync:delay_enter={delay}"]
        return subprocess.Popen(
            [*slow, COMMAND, *self.arguments(str(names))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_a_sheet(self) -> None:
        """The first one, before its secret is saved."""
        while not list(self.sheets.glob(".*.html.new")):
            time.sleep(0.01)

    def with_signal(self, name: str, call: str, number: int) -> Answer:
        """Sent to every process of the command that gets as far: strace counts for each."""
        inject = f"inject={call}:signal={name}:when={number}"
        return self("strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)


@pytest.fixture
def command(make_user: Callable[..., User], tmp_path: Path) -> Run:
    return Run([make_user() for _ in range(2)], tmp_path)


@pytest.mark.timeout(600)
def test_kill_at_any_step_loses_nobody_and_the_next_command_finishes(command: Run) -> None:
    steps = list(command.steps())
    # Sheet, picture, folder, both files of the home, .gitignore; twice; and the table.
    assert len(steps) > 36
    for call, number in steps:
        command.begin_anew()
        command.with_signal("KILL", call, number)
        for user in command.users:
            # Whatever was saved is on a sheet: the one that is done, or the one to be found.
            if secret_of(user).exists():
                found = [sheet_of(user, command.sheets)]
                found += [command.sheets / f".{user.name}.html.new"]
                assert [printed_key(path) for path in found if path.exists()] == [saved_key(user)]
            else:
                assert not sheet_of(user, command.sheets).exists()
            if picture_of(user, command.sheets).exists():
                assert sheet_of(user, command.sheets).exists(), "nobody knows whose secret it has"
        before = {user.name: saved_key(user) for user in command.users if secret_of(user).exists()}
        if command.table.exists():  # the last step: nothing is left to do
            assert keys_of_table(command.table).keys() == {user.name for user in command.users}
            command.table.unlink()
        again = command()
        assert (again.code, again.errors) == (0, ""), (call, number)
        assert_whole(command.users, command.sheets, has_pictures=True)
        now = {user.name: saved_key(user) for user in command.users}
        assert now | before == now, "a secret was replaced"
        assert keys_of_table(command.table) == now
        left = sorted(path.name for path in command.folder.iterdir())
        assert left == ["sheets", "table.csv", "trace"]
    user = command.users[1]
    key = printed_key(sheet_of(user, command.sheets))
    assert verify(user, Credential(user, key).fresh_code()).code == ACCEPTED


@pytest.mark.timeout(600)
def test_end_of_the_process_that_saves_is_said_with_what_it_had_done(command: Run) -> None:
    for call, number in list(command.steps())[::4]:
        command.begin_anew()
        answer = command.with_signal("TERM", call, number)
        done = sum(secret_of(user).exists() for user in command.users)
        told = re.search(r"enrolled at least (\d) of 2 users", answer.errors)
        assert told is None or int(told[1]) <= done
        if not command.table.exists():
            assert command().code == 0
        assert_whole(command.users, command.sheets, has_pictures=True)
        assert keys_of_table(command.table).keys() == {user.name for user in command.users}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tenths", range(1, 30, 4))
def test_interrupt_at_any_time_says_truly_what_was_done(command: Run, tenths: int) -> None:
    """Of both users, on a slow disk; whenever it comes."""
    with command.on_a_slow_disk("100ms") as process:
        time.sleep(tenths / 10)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    done = sum(secret_of(user).exists() for user in command.users)
    if process.returncode == 1:
        first, hint = errors.splitlines()
        is_before = first.endswith("interrupted; nothing was changed") and not done
        assert is_before or f"interrupted; enrolled {done} of 2 users" in first
        assert hint == "hint: run the command again"
    assert not list(command.sheets.glob(".*"))
    if not command.table.exists():
        assert command().code == 0
    assert_whole(command.users, command.sheets, has_pictures=True)


def test_interrupt_lets_the_user_be_finished_and_tries_no_other(command: Run) -> None:
    with command.on_a_slow_disk("500ms") as process:
        command.wait_for_a_sheet()
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate()
    assert (process.returncode, output) == (1, "")
    assert "interrupted; enrolled 1 of 2 users" in errors
    assert_whole(command.users[:1], command.sheets, has_pictures=True)
    assert not secret_of(command.users[1]).exists() and not command.table.exists()


def test_command_that_is_killed_takes_its_processes_along(command: Run) -> None:
    """They end when nobody hears them; until then the folder stays locked."""
    with command.on_a_slow_disk("100ms") as process:
        command.wait_for_a_sheet()
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        again = command()
        while again.code:
            assert f"another command writes sheets into {command.sheets}" in again.errors
            time.sleep(0.1)
            again = command()
    assert_whole(command.users, command.sheets, has_pictures=True)


def test_sheet_whose_secret_was_not_saved_is_made_anew(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    unfinished = command.unfinish(user)
    stale = printed_key(unfinished)
    run("rm", "-r", str(user.home / ".config"))
    command.table.unlink()
    assert command().code == 0
    assert_whole(command.users, command.sheets, has_pictures=True)
    assert saved_key(user) != stale


def test_sheet_of_a_secret_that_its_user_has_replaced_is_removed(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    unfinished = command.unfinish(user)
    other = "otpauth://totp/x:y?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=x phone\n"
    user.give(secret_of(user), other)
    command.table.unlink()
    answer = command()
    assert (answer.code, answer.errors) == (0, "")
    assert f"skipped {user.name}: already enrolled" in answer.output
    assert not unfinished.exists() and secret_of(user).read_text() == other


def test_sheet_that_cannot_get_its_name_is_kept(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    unfinished = command.unfinish(user)
    sheet_of(user, command.sheets).write_text("another file")
    command.table.unlink()
    for _ in range(2):
        answer = command()
        assert answer.code == 1
        assert f"run: rm {sheet_of(user, command.sheets)}" in answer.output
        assert printed_key(unfinished) == saved_key(user)
        command.table.unlink()
    sheet_of(user, command.sheets).unlink()
    assert command().code == 0
    assert_whole(command.users, command.sheets, has_pictures=True)


def test_sheet_that_was_cut_short_is_made_anew(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    sheet = sheet_of(user, command.sheets)
    for content in (b"", sheet.read_bytes()[:700], b"\xff" * 100, b"x" * 2_000_000):
        (command.sheets / f".{user.name}.html.new").write_bytes(content)
        sheet.unlink(missing_ok=True)
        sheet.with_suffix(".png").unlink(missing_ok=True)
        run("rm", "-rf", str(user.home / ".config"))
        command.table.unlink()
        assert command().code == 0
        assert_whole(command.users, command.sheets, has_pictures=True)


def test_user_who_enrolls_meanwhile_keeps_that_secret(command: Run) -> None:
    """After the look at all users, and before the save, which strace holds up for some seconds."""
    user = command.users[0]
    other = "otpauth://totp/x:y?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=x phone\n"
    # The first lock of the command is that of the sheets, and that of its process is the home's.
    inject = ["-f", "-e", "trace=flock", "-e", "inject=flock:delay_enter=4s:when=1"]
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(command, "strace", "-o", "/dev/null", *inject)
        unfinished = command.sheets / f".{user.name}.html.new"
        while not unfinished.exists():
            assert not waiting.done(), waiting.result()
            time.sleep(0.01)
        user.give(secret_of(user), other)
        answer = waiting.result()
    assert answer.code == 1
    assert f"skipped {user.name}: cannot save the secret:" in answer.output
    assert "was changed meanwhile; nothing was changed" in answer.output
    assert secret_of(user).read_text() == other
    assert not sheet_of(user, command.sheets).exists() and not unfinished.exists()
    assert_whole(command.users[1:], command.sheets, has_pictures=True)


@pytest.mark.parametrize("left", [".html", ".png"])
def test_picture_that_a_kill_left_out_is_made_by_the_next_command(command: Run, left: str) -> None:
    """Before the picture got its name, and before both did."""
    assert command().code == 0
    user = command.users[0]
    command.unfinish(user)
    if left == ".png":
        command.sheets.joinpath(f".{user.name}.html.new").rename(sheet_of(user, command.sheets))
    command.table.unlink()
    assert command().code == 0
    assert_whole(command.users, command.sheets, has_pictures=True)


def test_picture_that_a_kill_left_is_removed_by_the_next_command_that_makes_none(
    command: Run,
) -> None:
    assert command().code == 0
    user = command.users[0]
    command.unfinish(user)
    command.sheets.joinpath(f".{user.name}.html.new").unlink()
    run("rm", "-r", str(user.home / ".config"))
    arguments = [each for each in command.arguments() if each != "--pictures"][:-2]
    assert pam_totp(*arguments, typed=user.name).code == 0
    assert printed_key(sheet_of(user, command.sheets)) == saved_key(user)
    assert {path.name for path in command.sheets.glob(f"*{user.name}.*")} == {f"{user.name}.html"}
