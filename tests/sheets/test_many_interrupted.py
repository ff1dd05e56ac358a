# SPDX-License-Identifier: MIT
"""An enrollment of many users that is killed or interrupted at any step is finished by the next."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.commands.commands import Answer, pam_totp, secret_of, verify
from tests.host.accounts import User, run
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED
from tests.sheets.crowd import assert_whole, keys_of_table, printed_key, saved_key, sheet_of

# What changes a file, or says that it is on the disk; `write`: those of sheet, secret and table.
CALLS = "mkdir,mkdirat,write,fsync,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
CALL = re.compile(r"^(\w+)\(")
# Of one that does nothing on the way: a file that is not there, or pipes of the processes.
HARMLESS = re.compile(r"ENOENT|EEXIST|<pipe:|^write\([12]<")


class Run:
    """The command for two users, with a table, and what it has left."""

    def __init__(self, users: list[User], folder: Path) -> None:
        self.users, self.folder = users, folder
        self.sheets, self.table = folder / "sheets", folder / "table.csv"
        self.trace = folder / "trace"

    def __call__(self, *through: str) -> Answer:
        command = ["enroll", "--users", "-", "--sheets", str(self.sheets)]
        names = "".join(f"{user.name}\n" for user in self.users)
        return pam_totp(*command, "--table", str(self.table), typed=names, through=through)

    def begin_anew(self) -> None:
        homes = [str(user.home / ".config") for user in self.users]
        run("rm", "-rf", str(self.sheets), str(self.table), *homes)

    def steps(self) -> Iterator[tuple[str, int]]:
        """Each call of a clean run that changes a file: its name, and the how manieth it is."""
        self.begin_anew()
        done = self("strace", "-y", "-o", str(self.trace), "-e", f"trace={CALLS}")
        assert (done.code, done.errors) == (0, "")
        counted: dict[str, int] = {}
        lines = self.trace.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            found = CALL.match(line)
            if found:
                counted[found[1]] = counted.get(found[1], 0) + 1
                if not HARMLESS.search(line):
                    yield found[1], counted[found[1]]

    def with_signal(self, signal: str, call: str, number: int) -> Answer:
        inject = f"inject={call}:signal={signal}:when={number}"
        return self("strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)


@pytest.fixture
def command(make_user: Callable[..., User], tmp_path: Path) -> Run:
    return Run([make_user() for _ in range(2)], tmp_path)


@pytest.mark.timeout(600)
def test_kill_at_any_step_loses_nobody_and_the_next_command_finishes(command: Run) -> None:
    steps = list(command.steps())
    # Sheet, folder, both files of the home, .gitignore; twice; and the table.
    assert len(steps) > 30
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
        before = {user.name: saved_key(user) for user in command.users if secret_of(user).exists()}
        if command.table.exists():  # the last step: nothing is left to do
            assert keys_of_table(command.table).keys() == {user.name for user in command.users}
            command.table.unlink()
        again = command()
        assert (again.code, again.errors) == (0, ""), (call, number)
        assert_whole(command.users, command.sheets)
        now = {user.name: saved_key(user) for user in command.users}
        assert now | before == now, "a secret was replaced"
        assert keys_of_table(command.table) == now
        left = sorted(path.name for path in command.folder.iterdir())
        assert left == ["sheets", "table.csv", "trace"]
    user = command.users[1]
    key = printed_key(sheet_of(user, command.sheets))
    assert verify(user, Credential(user, key).fresh_code()).code == ACCEPTED


@pytest.mark.timeout(600)
@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_interrupt_at_any_step_says_truly_what_was_done(command: Run, signal: str) -> None:
    for call, number in list(command.steps())[:: 4 if signal == "TERM" else 2]:
        command.begin_anew()
        answer = command.with_signal(signal, call, number)
        done = sum(secret_of(user).exists() for user in command.users)
        if signal == "INT" and answer.code == 1:
            first, hint = answer.errors.splitlines()
            is_before = first.endswith("interrupted; nothing was changed") and not done
            assert is_before or f"interrupted; enrolled {done} of 2 users" in first, (call, number)
            assert hint == "hint: run the command again"
        if not command.table.exists():
            assert command().code == 0
        assert_whole(command.users, command.sheets)
        assert keys_of_table(command.table).keys() == {user.name for user in command.users}


def test_sheet_whose_secret_was_not_saved_is_made_anew(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    unfinished = command.sheets / f".{user.name}.html.new"
    sheet_of(user, command.sheets).rename(unfinished)
    stale = printed_key(unfinished)
    run("rm", "-r", str(user.home / ".config"))
    command.table.unlink()
    assert command().code == 0
    assert_whole(command.users, command.sheets)
    assert saved_key(user) != stale


def test_sheet_of_a_secret_that_its_user_has_replaced_is_removed(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    unfinished = command.sheets / f".{user.name}.html.new"
    sheet_of(user, command.sheets).rename(unfinished)
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
    unfinished = command.sheets / f".{user.name}.html.new"
    sheet_of(user, command.sheets).rename(unfinished)
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
    assert_whole(command.users, command.sheets)


def test_sheet_that_was_cut_short_is_made_anew(command: Run) -> None:
    assert command().code == 0
    user = command.users[0]
    sheet = sheet_of(user, command.sheets)
    for content in (b"", sheet.read_bytes()[:700], b"\xff" * 100, b"x" * 2_000_000):
        (command.sheets / f".{user.name}.html.new").write_bytes(content)
        sheet.unlink(missing_ok=True)
        run("rm", "-rf", str(user.home / ".config"))
        command.table.unlink()
        assert command().code == 0
        assert_whole(command.users, command.sheets)


def test_user_who_enrolls_meanwhile_keeps_that_secret(command: Run) -> None:
    """After the look at all users, and before the save, which strace holds up for some seconds."""
    user = command.users[0]
    other = "otpauth://totp/x:y?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=x phone\n"
    # The first lock is that of the sheets, before the look; the second that of the home.
    inject = ["-e", "trace=flock", "-e", "inject=flock:delay_enter=4s:when=2"]
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
    assert_whole(command.users[1:], command.sheets)
