# SPDX-License-Identifier: MIT
"""kill -9 in place of every system call that touches a file: each file is the old or the new one,
whole, and what comes next takes everything back."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.injection import KILL, Call, Ended, Error, calls_of, run_with
from tests.trial.change_host import (
    CURRENT,
    ROLL_BACK,
    SETTINGS,
    STACK,
    ChangeHost,
    is_over,
    state,
)

PROGRAM = Path("/var/tmp/crash")
# What changes a file, or says that it is on the disk. Reading changes nothing.
CHANGES_FILES = (
    "openat", "mkdir", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir", "link",
    "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown", "utimensat",
    "setxattr", "flock", "kill", "execve", "vfork", "clone", "clone3",
)  # fmt: skip
# Not of files.
NEVER_FAIL = ("kill", "execve", "vfork", "clone", "clone3")
OURS = re.compile(r"/var/lib/pam-totp/changes|/etc/pam\.d|/etc/ssh/sshd_config\.d|^kill\(|sshd")

pytestmark = pytest.mark.timeout(600)


def program(*command: str) -> str:
    """A program of one word, as strace is given it, that runs the command."""
    PROGRAM.write_text("#!/bin/sh\nexec " + " ".join(command) + "\n")
    PROGRAM.chmod(0o755)
    return str(PROGRAM)


def calls_on_files(command: str) -> list[Call]:
    """The calls of a clean run that change a file, of the program itself and not of sshd -t."""
    calls = calls_of(command, dict(os.environ))
    found = [call for call in calls if call.name in CHANGES_FILES and OURS.search(call.line)]
    return [call for call in found if "O_RDONLY" not in call.line or "O_DIRECTORY" in call.line]


def kill_at_each(
    calls: list[Call], command: str, before: Callable[[], None], after: Callable[[Call], None]
) -> int:
    """Runs the command once for each call and kills it there; how often that came to pass."""
    killed = 0
    for call in calls:
        before()
        ended: Ended = run_with(Error(call, KILL), command, dict(os.environ))
        killed += ended.injected
        after(call)
    return killed


def assert_each_is_whole(host: ChangeHost) -> None:
    stack, settings = state()
    assert stack in (host.old[0], host.new[0])
    assert settings in (host.old[1], host.new[1])


def take_back(host: ChangeHost) -> None:
    """What the boot unit does, and the next command of root's."""
    done = subprocess.run([ROLL_BACK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert is_over()
    assert not host.asks_for_a_key_and_more


def test_kill_9_anywhere_while_it_is_put_in_leaves_each_file_whole_and_can_be_taken_back(
    change_host: ChangeHost, count: Callable[[str], None]
) -> None:
    command = program(*change_host.command("-", "no"))
    calls = calls_on_files(command)
    restore(change_host)
    ends = {"old": 0, "new": 0}

    def after(call: Call) -> None:
        assert_each_is_whole(change_host)
        # Settings do nothing until sshd reads them: never the new stack under the old ones.
        assert state() != (change_host.new[0], change_host.old[1]), call.line
        was_kept = not CURRENT.exists() and state() == change_host.new
        take_back(change_host) if not was_kept else None
        assert state() == (change_host.new if was_kept else change_host.old), call.line
        ends["new" if was_kept else "old"] += 1
        restore(change_host)

    killed = kill_at_each(calls, command, lambda: None, after)
    assert killed > 40 and ends["old"] > 30 and ends["new"] > 0
    count(f"{killed} kills of a change that is put in: {ends['old']} old, {ends['new']} new")


def restore(host: ChangeHost) -> None:
    """As before the change, and sshd with it."""
    if state() != host.old:
        STACK.write_bytes(host.old[0])
        SETTINGS.unlink(missing_ok=True)
        host.reload()


def test_kill_9_anywhere_while_it_is_taken_back_is_finished_by_the_next(
    change_host: ChangeHost, count: Callable[[str], None]
) -> None:
    begin = change_host.command("left", "no")
    back = program(ROLL_BACK)
    subprocess.run(begin, check=True)
    calls = calls_on_files(back)
    assert state() == change_host.old

    def before() -> None:
        subprocess.run(begin, check=True)
        assert state() == change_host.new

    def after(call: Call) -> None:
        assert_each_is_whole(change_host)
        take_back(change_host)
        assert state() == change_host.old, call.line

    killed = kill_at_each(calls, back, before, after)
    assert killed > 10
    count(f"{killed} kills of a change that is taken back")


def test_error_of_any_call_while_it_is_put_in_changes_nothing_or_everything(
    change_host: ChangeHost, count: Callable[[str], None]
) -> None:
    command = program(*change_host.command("-", "no"))
    calls = [call for call in calls_on_files(command) if call.name not in NEVER_FAIL]
    restore(change_host)
    failed = 0
    for call in calls:
        ended = run_with(Error(call, "EIO"), command, dict(os.environ))
        if ended.status == 0:
            assert state() == change_host.new, call.line
        else:
            failed += 1
            assert "nothing was changed\nhint: " in ended.output, (call.line, ended.output)
            assert len(ended.output.splitlines()) == 2, ended.output
            assert state() == change_host.old, call.line
            assert not list(STACK.parent.glob(".pam-totp*")), call.line
        assert is_over(), call.line
        restore(change_host)
        assert not change_host.asks_for_a_key_and_more
    assert failed > 20
    count(f"{len(calls)} calls of a change that is put in failed: {failed} said so")
