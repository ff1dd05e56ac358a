# SPDX-License-Identifier: MIT
"""A host that is about to ask for codes: the change, and an sshd that reads the real files."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pam_totp.setup.change import Change, FileChange
from tests.host.pam_services import PASSWORD_LINE, forget_what_asked, shipped_lines
from tests.host.ssh_server import HOST_KEY, SSHD, accepts, free_port, shipped_settings
from tests.host.system_log import SystemLog

PUT_IN = Path(__file__).resolve().parent / "put_in"
STACK = Path("/etc/pam.d/sshd")
SETTINGS = Path("/etc/ssh/sshd_config.d/00-pam-totp.conf")
OF_THE_TEST = Path("/etc/ssh/sshd_config.d/90-test.conf")
CHANGES = Path("/var/lib/pam-totp/changes")
CURRENT = CHANGES / "current"
ROLL_BACK = "/usr/libexec/pam-totp/roll-back"
PID_FILE = Path("/run/sshd.pid")
AUTH_LOG = Path("/var/log/auth.log")
CHOICE = "key-or-password-then-code"
BEGIN, END = "# begin of pam-totp's lines: trial", "# end of pam-totp's lines"


def change_of(choice: str = CHOICE) -> Change:
    """What turns codes on for sshd, made from what is there."""
    before = STACK.read_text(encoding="utf-8")
    block = "\n".join([BEGIN, *shipped_lines(choice), END])
    after = before.replace(f"\n{PASSWORD_LINE}\n", f"\n{block}\n")
    assert after != before
    files = (
        FileChange(str(STACK), before.encode(), after.encode()),
        FileChange(str(SETTINGS), None, shipped_settings(choice).encode()),
    )
    return Change("enable", ("sshd",), files, reloads_sshd=True)


def state() -> tuple[bytes, bytes | None]:
    return STACK.read_bytes(), SETTINGS.read_bytes() if SETTINGS.exists() else None


@dataclass
class ChangeHost:
    """change: what is about to be put in. old, new: both files without and with it."""

    port: int
    change: Change = field(default_factory=change_of)

    @property
    def old(self) -> tuple[bytes, bytes | None]:
        stack, settings = self.change.files
        assert stack.before is not None
        return stack.before, settings.before

    @property
    def new(self) -> tuple[bytes, bytes | None]:
        stack, settings = self.change.files
        assert stack.after is not None
        return stack.after, settings.after

    def command(self, seconds: str = "-", watched: str = "yes") -> list[str]:
        """What puts the change in; seconds of a trial, or - for none."""
        path = Path("/var/tmp/change.json")
        plain = {
            "kind": self.change.kind,
            "services": self.change.services,
            "reloads_sshd": self.change.reloads_sshd,
            "files": [
                {
                    "path": file.path,
                    "before": None if file.before is None else file.before.decode("latin-1"),
                    "after": None if file.after is None else file.after.decode("latin-1"),
                }
                for file in self.change.files
            ],
        }
        path.write_text(json.dumps(plain), encoding="utf-8")
        return [str(PUT_IN), str(path), seconds, watched]

    def put_in(self, *, watched: str = "yes") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command("-", watched), capture_output=True, text=True)

    def reload(self) -> None:
        """sshd reads its settings, and listens again."""
        written = PID_FILE.stat().st_mtime_ns
        os.kill(int(PID_FILE.read_text()), signal.SIGHUP)
        wait_until(lambda: PID_FILE.exists() and PID_FILE.stat().st_mtime_ns != written)

    @property
    def asks_for_a_key_and_more(self) -> bool:
        """Whether the sshd that runs has read the settings of the change."""
        command = ["ssh", "-F", "/dev/null", "-p", str(self.port), "-o", "BatchMode=yes"]
        command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        command += ["-o", "PreferredAuthentications=none", "nobody@127.0.0.1", "true"]
        said = subprocess.run(command, capture_output=True, text=True).stderr
        assert "Permission denied (" in said, said
        return "password" not in said.partition("Permission denied (")[2].split(")")[0]


def wait_until(is_so: "object", seconds: float = 60) -> None:
    """Waits for what a process does meanwhile; `is_so`: a function."""
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)


def is_over() -> bool:
    """Whether no change is waiting to be kept or taken back."""
    return not CURRENT.exists()


def watchers() -> list[int]:
    """The processes that wait to take a change back."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if ROLL_BACK.encode() in words and b"--watch" in words:
            found.append(int(process.name))
    return found


@pytest.fixture
def change_host(host_key: None, system_log: SystemLog) -> Iterator[ChangeHost]:
    """sshd of the real /etc/ssh/sshd_config, which finds its process in /run/sshd.pid; a log that
    a syslogd writes. All is as it was after the test."""
    before = STACK.read_bytes()
    port = free_port()
    more = "PerSourcePenalties no\n" if accepts("PerSourcePenalties no") else ""
    OF_THE_TEST.write_text(
        f"Port {port}\nHostKey {HOST_KEY}\nLogLevel VERBOSE\nUseDNS no\nMaxStartups 200\n{more}"
    )
    shutil.rmtree(CHANGES, ignore_errors=True)  # tests of `enable` leave some
    AUTH_LOG.write_text("", encoding="utf-8")
    system_log.file = AUTH_LOG
    PID_FILE.unlink(missing_ok=True)
    with Path("/var/log/sshd-of-trial.log").open("wb") as log:
        sshd = subprocess.Popen([SSHD, "-D"], stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_until(PID_FILE.exists)
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        yield ChangeHost(port)
    finally:
        for watcher in watchers():
            os.kill(watcher, signal.SIGKILL)
        sshd.terminate()
        sshd.wait(timeout=10)
        system_log.file = None
        for path in (SETTINGS, OF_THE_TEST, AUTH_LOG):
            path.unlink(missing_ok=True)
        STACK.write_bytes(before)
        for folder in (CHANGES, STACK.parent / ".pam-totp-change"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(SETTINGS.parent / ".pam-totp-change", ignore_errors=True)
        forget_what_asked()
