# SPDX-License-Identifier: MIT
"""What a user runs, and how it calls itself, says nothing about the sshd of this machine."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.setup import reload
from pam_totp.stack.sshd_running import Server, servers
from tests.commands.commands import pam_totp
from tests.host.accounts import User

SLEEP = os.path.realpath("/usr/bin/sleep")
# `-f` names what root would open: a FIFO waits for ever, and /dev/watchdog restarts the machine.
TITLE = "sshd: /usr/sbin/sshd -f {} -o UsePAM=no [listener] 0 of 10-100 startups"
USUAL_TITLE = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"


@contextlib.contextmanager
def running(user: User, program: str, title: str) -> Iterator[None]:
    """A program of the user's that calls itself something else."""
    command = user.command(["bash", "-c", f"exec -a '{title}' {program} 600"])
    process = subprocess.Popen(command, cwd="/")
    try:
        deadline = time.monotonic() + 20
        while os.readlink(f"/proc/{process.pid}/exe") != program:
            assert time.monotonic() < deadline
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def settings_of_user(user: User) -> Iterator[str]:
    """The settings, a FIFO, that a program of the user's names which calls itself an sshd."""
    program, fifo = user.home / "sshd", user.home / "settings"
    user.run_as("cp", SLEEP, str(program), check=True)
    user.run_as("mkfifo", str(fifo), check=True)
    with running(user, str(program), TITLE.format(fifo)):
        yield str(fifo)


def test_process_of_a_user_that_calls_itself_sshd_is_none(settings_of_user: str) -> None:
    assert Path(settings_of_user).is_fifo()
    assert servers() == [Server()]


@pytest.mark.parametrize("arguments", ["doctor", "explain root --service sshd", "enable sshd"])
def test_root_opens_nothing_that_a_process_of_a_user_names_as_settings(
    settings_of_user: str, arguments: str
) -> None:
    options = ["--dry-run"] if arguments.startswith("enable") else []
    done = pam_totp(*arguments.split(), *options, through=("timeout", "30"))
    assert done.code != 124  # it would wait for somebody to write there
    assert settings_of_user not in done.output + done.errors


def test_sshd_that_a_user_runs_is_not_one_to_be_told(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could make it read its settings, and taking a change back would never be over."""
    monkeypatch.setattr(reload, "SSHD", SLEEP)
    with running(user, SLEEP, USUAL_TITLE):
        assert not reload.is_listening()


@pytest.fixture
def as_if_systemd_ran() -> Iterator[None]:
    folder = Path("/run/systemd/system")  # sd_booted(3)
    folder.mkdir(parents=True)
    yield
    folder.rmdir()


@pytest.mark.usefixtures("as_if_systemd_ran")
def test_command_of_root_s_runs_no_program_of_the_folder_that_a_path_begins_with(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`su` without a dash, and some sudoers, leave root the PATH that was there before."""
    trap, sprung = user.home / "bin", user.home / "sprung"
    trap.mkdir()
    for name in ("journalctl", "systemctl", "sshd", "logger"):
        (trap / name).write_text(f"#!/bin/sh\necho {name} >>{sprung}\n")
        (trap / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{trap}:/usr/sbin:/usr/bin")
    assert pam_totp("enable", "sshd", "--dry-run").code in (0, 1, 2)
    assert not sprung.exists()
