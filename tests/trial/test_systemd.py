# SPDX-License-Identifier: MIT
"""Trials where systemd is process 1: its timer, its journal, its boot."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pexpect
import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.trial.change_host import (
    CURRENT,
    PID_FILE,
    ChangeHost,
    is_over,
    state,
    wait_until,
    watchers,
)
from tests.trial.systemd_host import Machine, SystemdHost
from tests.trial.test_trial import QUESTION, log_in

pytestmark = pytest.mark.timeout(300)
DROP_IN = "/run/systemd/system/ssh.socket.d"


@pytest.fixture
def host(change_host: ChangeHost, machine: Machine) -> Iterator[tuple[ChangeHost, SystemdHost]]:
    """A host whose ssh.service runs in place of the test's own sshd."""
    os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
    booted = machine.boot()
    booted.run("rm", "-f", "/run/nologin")  # which a whole boot would remove
    started = booted.run("systemctl", "start", "ssh.service")
    assert started.returncode == 0, started.stderr + booted.run("journalctl", "-u", "ssh").stdout
    yield change_host, booted


def begin(host: ChangeHost, booted: SystemdHost, seconds: str) -> "pexpect.spawn[str]":
    command = booted.command(*host.command(seconds))
    child = pexpect.spawn(command[0], command[1:], encoding="utf-8", timeout=30)
    child.expect_exact("ssh.service was reloaded.")
    child.expect_exact("Attempts, from the journal:")
    assert state() == host.new
    assert host.asks_for_a_key_and_more
    return child


def test_attempts_are_read_from_the_journal_and_a_yes_keeps_it(
    host: tuple[ChangeHost, SystemdHost], user: User, credential: Credential
) -> None:
    change_host, booted = host
    child = begin(change_host, booted, "600")
    assert log_in(change_host, user, credential.fresh_code()) == 0
    child.expect(rf"sshd: {user.name} from 127.0.0.1: accepted \(totp, phone\)")
    child.expect(QUESTION)
    child.send("y\r")
    child.expect("Kept.")
    child.expect(pexpect.EOF)
    assert state() == change_host.new and is_over()
    wait_until(lambda: not watchers())
    assert booted.run("systemctl", "list-timers", "--all").stdout.count("pam-totp") == 0


def test_timer_takes_it_back_when_the_command_and_its_watcher_are_killed(
    host: tuple[ChangeHost, SystemdHost],
) -> None:
    change_host, booted = host
    child = begin(change_host, booted, "10")
    (watcher,) = watchers()
    os.kill(watcher, signal.SIGKILL)
    child.close(force=True)
    wait_until(is_over)
    assert state() == change_host.old
    wait_until(lambda: not change_host.asks_for_a_key_and_more)


def test_boot_takes_it_back_before_sshd_starts(
    host: tuple[ChangeHost, SystemdHost], machine: Machine
) -> None:
    change_host, booted = host
    child = begin(change_host, booted, "600")
    booted.power_off()
    child.close(force=True)
    assert state() == change_host.new and CURRENT.exists()
    again = machine.boot()
    assert state() == change_host.old and is_over()
    shown = again.run("systemctl", "show", "pam-totp-roll-back.service", "-p", "Result,Before")
    assert "Result=success" in shown.stdout
    assert {"ssh.service", "ssh.socket", "sysinit.target"} <= set(
        shown.stdout.partition("Before=")[2].split()
    )
    assert again.run("systemctl", "start", "ssh.service").returncode == 0
    assert not change_host.asks_for_a_key_and_more


def test_watcher_survives_the_command_s_session(host: tuple[ChangeHost, SystemdHost]) -> None:
    change_host, booted = host
    child = begin(change_host, booted, "600")
    (watcher,) = watchers()
    shown = subprocess.run(["cat", f"/proc/{watcher}/cgroup"], capture_output=True, text=True)
    assert "system.slice/pam-totp-change-1.service" in shown.stdout
    child.close(force=True)
    wait_until(is_over)
    assert state() == change_host.old


def test_sshd_that_a_socket_starts_needs_no_reload(
    change_host: ChangeHost, machine: Machine
) -> None:
    os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
    booted = machine.boot()
    listen = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{change_host.port}\n"
    script = f"mkdir -p {DROP_IN} && printf '{listen}' >{DROP_IN}/port.conf"
    script += " && systemctl daemon-reload && systemctl start ssh.socket"
    started = booted.run("sh", "-c", script.replace("\n", "\\n"))
    assert started.returncode == 0, started.stderr
    done = booted.run(*change_host.command())
    assert done.stdout == "ssh.socket starts sshd at the next connection, with the new settings.\n"
    assert change_host.asks_for_a_key_and_more
