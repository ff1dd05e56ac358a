# SPDX-License-Identifier: MIT
"""A command that is stopped keeps no change beyond its time, and nobody waiting."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pexpect
import pytest

from pam_totp.setup import apply, journal
from pam_totp.setup.change import Change
from pam_totp.setup.record import Record, written
from tests.commands.commands import pam_totp
from tests.host.terminal import CTRL_C, CTRL_Z
from tests.trial.change_host import (
    CHANGES,
    ROLL_BACK,
    ChangeHost,
    is_over,
    state,
    wait_until,
    watchers,
)
from tests.trial.test_trial import LONG, READY, SHORT


def is_stopped(process: int) -> bool:
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        return file.read().rpartition(") ")[2].startswith("T")


def stopped(host: ChangeHost, seconds: str, watched: str = "yes") -> "subprocess.Popen[str]":
    """The command, which something has stopped while it changes the files."""
    nobody = subprocess.DEVNULL
    command = [*host.command(seconds, watched), "SIGSTOP"]
    process = subprocess.Popen(command, stdin=nobody, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: is_stopped(process.pid))
    assert not is_over()
    return process


def assert_taken_back(host: ChangeHost, process: "subprocess.Popen[str]") -> None:
    wait_until(is_over)
    assert state() == host.old
    assert not host.asks_for_a_key_and_more
    assert process.wait(timeout=30) == 1
    wait_until(lambda: not watchers())


def test_trial_that_is_stopped_while_files_are_changed_ends_in_time(
    change_host: ChangeHost,
) -> None:
    assert_taken_back(change_host, stopped(change_host, SHORT))


@pytest.mark.parametrize("by", ["confirm", "removal"])
def test_trial_that_is_stopped_while_files_are_changed_can_be_taken_back(
    change_host: ChangeHost, by: str
) -> None:
    process = stopped(change_host, LONG)
    if by == "confirm":
        said = pam_totp("confirm", "--take-back")
        assert said.code == 0, said.errors
    else:
        assert subprocess.run([ROLL_BACK, "--now"], timeout=60).returncode == 0
    assert_taken_back(change_host, process)


def test_command_without_a_trial_that_is_stopped_goes_on(change_host: ChangeHost) -> None:
    command = [*change_host.command("-"), "SIGSTOP"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert state() == change_host.new and is_over()


def test_command_that_is_stopped_and_not_watched_goes_on_at_the_next_one(
    change_host: ChangeHost,
) -> None:
    process = stopped(change_host, "-", "no")
    pam_totp("users")
    assert process.wait(timeout=30) == 0
    assert state() == change_host.new and is_over()


@pytest.fixture
def shell(change_host: ChangeHost) -> "Iterator[pexpect.spawn[str]]":
    """A shell that stops and continues what runs in it."""
    child = pexpect.spawn("bash", ["--norc", "-i"], encoding="utf-8", timeout=30)
    yield child
    child.close(force=True)


@pytest.mark.parametrize("number", ["SIGTSTP", "SIGTTIN", "SIGTTOU"])
def test_signal_of_the_terminal_stops_no_command_that_changes_files(
    change_host: ChangeHost, shell: "pexpect.spawn[str]", number: str
) -> None:
    shell.sendline(" ".join([*change_host.command("-"), number]))
    wait_until(lambda: state() == change_host.new and is_over())
    assert change_host.asks_for_a_key_and_more


def test_ctrl_z_does_not_stop_a_trial(change_host: ChangeHost, shell: "pexpect.spawn[str]") -> None:
    shell.sendline(" ".join([*change_host.command(LONG), "SIGTSTP"]))
    shell.expect_exact(READY)
    shell.send(CTRL_Z)
    shell.send("y\r")
    shell.expect("Nobody has logged in with a code yet")
    shell.send(CTRL_C)
    shell.expect("it was interrupted; everything was taken back")
    assert is_over() and state() == change_host.old


HOLDER = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(change_host: ChangeHost) -> "Iterator[subprocess.Popen[str]]":
    """A command that goes on and on."""
    CHANGES.mkdir(mode=0o700, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, CHANGES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def has_open(process: int, path: str) -> bool:
    folder = f"/proc/{process}/fd"
    return any(os.path.realpath(f"{folder}/{each}") == path for each in os.listdir(folder))


def a_record(change: Change) -> Record:
    return Record(1, change, tuple(file.path for file in change.files), "", None, "root")


def test_who_keeps_others_waiting_is_named(
    change_host: ChangeHost, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SECONDS_TO_LOCK", 0.2)
    named = rf"\(process {holder.pid}\) is changing files at this moment; nothing was changed"
    with pytest.raises(journal.Busy, match=named):
        apply.take_back(a_record(change_host.change), "it was ended")
    done = change_host.put_in()
    assert done.returncode == 1 and f"(process {holder.pid})" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_command_that_waits_for_another_can_be_ended(
    change_host: ChangeHost, holder: "subprocess.Popen[str]"
) -> None:
    (CHANGES / "current").write_bytes(written(a_record(change_host.change)))
    waiting = subprocess.Popen([ROLL_BACK, "--now"], stderr=subprocess.DEVNULL)
    wait_until(lambda: has_open(waiting.pid, str(CHANGES)))
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(timeout=20) == -signal.SIGTERM
    assert not is_over() and holder.poll() is None
