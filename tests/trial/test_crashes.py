# SPDX-License-Identifier: MIT
"""kill -9 in place of every system call that touches a file: each file is the old or the new one,
whole, and what comes next takes everything back."""

import os
import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.injection import KILL, Call, Ended, Error, calls_of, run_with
from tests.faults.sizes import SOAK, choose
from tests.faults.test_kills import SEED
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.ssh_client import client_options
from tests.host.terminal import converse
from tests.trial.change_host import (
    CURRENT,
    ROLL_BACK,
    SETTINGS,
    STACK,
    ChangeHost,
    is_over,
    state,
    wait_until,
    watchers,
)

KILLS_BY_THE_CLOCK = choose(12, 200)
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
RELOADS = re.compile(r"kill\(\d+, SIGHUP\)")

pytestmark = pytest.mark.timeout(3600 if SOAK else 600)


def program(*command: str) -> str:
    """A program of one word, as strace is given it, that runs the command."""
    PROGRAM.write_text("#!/bin/sh\nexec " + " ".join(command) + "\n")
    PROGRAM.chmod(0o755)
    return str(PROGRAM)


def calls_on_files(command: str) -> list[Call]:
    """The calls of a clean run that change a file, of the program itself and not of sshd -t; and
    those that open a folder, up to the reload: how many files are opened after it depends on how
    often sshd's PID file is looked at."""
    calls = calls_of(command, dict(os.environ))
    reload = next((at for at, call in enumerate(calls) if RELOADS.match(call.line)), len(calls))
    found = [(at, call) for at, call in enumerate(calls) if call.name in CHANGES_FILES]
    return [
        call
        for at, call in found
        if OURS.search(call.line)
        and ("O_RDONLY" not in call.line or ("O_DIRECTORY" in call.line and at < reload))
    ]


def kill_at_each(
    calls: list[Call], command: str, before: Callable[[], None], after: Callable[[Call], None]
) -> int:
    """Runs the command once for each call and kills it there; how often that was."""
    for call in calls:
        before()
        ended: Ended = run_with(Error(call, KILL), command, dict(os.environ))
        assert ended.injected, f"nothing was killed: {call.line}"
        after(call)
    return len(calls)


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
        assert ended.injected, f"nothing failed: {call.line}"
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


def test_each_state_that_a_kill_can_leave_lets_the_administrator_in(
    change_host: ChangeHost, user: User, credential: Credential
) -> None:
    options = client_options(change_host)  # type: ignore[arg-type]
    argv = ["/usr/bin/ssh", *options, "-l", user.name, "127.0.0.1", "id -un"]
    password = (".*[Pp]assword: ", user.password)
    old_stack, new_stack = change_host.old[0], change_host.new[0]
    new_settings = change_host.new[1]
    assert new_settings is not None

    assert converse(argv, [password]).status == 0
    # Killed after the settings, which sshd has not read.
    SETTINGS.write_bytes(new_settings)
    assert converse(argv, [password]).status == 0
    # And then it was restarted by somebody, before anything took them back.
    change_host.reload()
    assert converse(argv, [password]).status == 0
    # Killed after the stack, when sshd has read the settings.
    STACK.write_bytes(new_stack)
    code = ("Verification code: ", credential.fresh_code())
    assert converse(argv, [password, code]).status == 0
    # Killed while it is taken back, in the same way round.
    SETTINGS.unlink()
    code = ("Verification code: ", credential.fresh_code())
    assert converse(argv, [password, code]).status == 0
    STACK.write_bytes(old_stack)
    assert converse(argv, [password]).status == 0


def is_over_after(command: list[str]) -> bool:
    subprocess.run(command, check=True)
    return is_over()


def test_kill_9_at_any_moment_of_a_trial_ends_with_the_old_files(
    change_host: ChangeHost, count: Callable[[str], None]
) -> None:
    dice = random.Random(SEED)
    for _ in range(KILLS_BY_THE_CLOCK):
        command = subprocess.Popen(
            change_host.command("600"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(dice.uniform(0.02, 0.5))
        command.kill()
        command.wait()
        # By the watcher, or, if it was not there yet, by the next one.
        wait_until(lambda: is_over() or is_over_after([ROLL_BACK]))
        wait_until(lambda: not watchers())
        assert is_over() and state() == change_host.old, f"PAM_TOTP_SEED={SEED}"
        assert not change_host.asks_for_a_key_and_more, f"PAM_TOTP_SEED={SEED}"
    count(f"{KILLS_BY_THE_CLOCK} kills of a trial by the clock")
