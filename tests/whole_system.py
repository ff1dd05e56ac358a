# SPDX-License-Identifier: MIT
"""A whole Debian system, run by chroot, and a person who logs in there with a phone.

Runs in a throw-away host (tests/package_roots): mounts and processes end with it.
"""

import dataclasses
import hashlib
import io
import re
import subprocess
import time
from pathlib import Path

import pexpect

PASSWORD = "correct horse"
SECONDS = 20
STEP_SECONDS = 30  # RFC 6238, section 4.1


def watched_files(root: Path) -> dict[str, str]:
    """Mode, owner and content of everything in the system that decides about a login."""
    paths = [root / "etc" / name for name in ("passwd", "shadow", "group", "nsswitch.conf")]
    for folder in ("pam.d", "ssh", "security"):
        paths += sorted((root / "etc" / folder).rglob("*"))
    found = {}
    for path in paths:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        state = f"{status.st_mode:o} {status.st_uid} {hashlib.sha256(content).hexdigest()}"
        found[str(path.relative_to(root))] = state
    return found


class System:
    """One system, run by chroot."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{kind}", root / kind], check=True)
        (root / "run/sshd").mkdir(mode=0o755, exist_ok=True)

    def run(self, *command: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        argv = ["chroot", str(self.root), *command]
        return subprocess.run(argv, input=typed, capture_output=True, text=True)

    def must_run(self, *command: str, typed: str = "") -> str:
        done = self.run(*command, typed=typed)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def on_terminal(self, *command: str) -> "pexpect.spawn[str]":
        argv = [str(self.root), *command]
        return pexpect.spawn("chroot", argv, encoding="utf-8", timeout=SECONDS, dimensions=(50, 90))

    def ssh(self, name: str, *command: str) -> "pexpect.spawn[str]":
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        arguments = [f"-o{option}" for option in (*options, "NumberOfPasswordPrompts=1")]
        return self.on_terminal("ssh", *arguments, f"{name}@127.0.0.1", *command)

    def log_in(self, *codes: str, name: str = "alice") -> tuple[bool, str]:
        """One ssh login; whether it succeeded, and all that was shown."""
        ssh = self.ssh(name, "id", "-un")
        ssh.logfile_read = shown = io.StringIO()
        # disable has sshd read its settings again: then it asks for the password by itself.
        answers = [
            (r"\) Password: |'s password: ", PASSWORD),
            *((r"\) Verification code: ", c) for c in codes),
        ]
        for prompt, answer in answers:
            ssh.expect(prompt)
            ssh.sendline(answer)
        ssh.expect(pexpect.EOF)
        ssh.close()
        accepted = ssh.exitstatus == 0 and shown.getvalue().split()[-1] == name
        return accepted, shown.getvalue()

    def start_sshd(self) -> "subprocess.Popen[bytes]":
        argv = ["chroot", str(self.root), "/usr/sbin/sshd", "-D", "-e"]
        log = (self.root / "sshd.log").open("wb")
        server = subprocess.Popen(argv, stderr=log)
        deadline = time.monotonic() + SECONDS
        while "listening" not in (self.root / "sshd.log").read_text():
            assert server.poll() is None and time.monotonic() < deadline, "sshd did not start"
            time.sleep(0.02)
        return server


def code_of(secret: str, step: int) -> str:
    """The code of a time step, from oathtool, which shares no code with the product."""
    moment = f"@{step * STEP_SECONDS}"
    command = ["oathtool", "--totp", "--base32", f"--now={moment}", secret]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def step() -> int:
    return int(time.time()) // STEP_SECONDS


@dataclasses.dataclass
class Phone:
    """secret: what was scanned. last: the time step of the last code that was taken from it."""

    secret: str
    last: int = 0

    def fresh_code(self) -> str:
        """One that was never used: of now, or of the next time step, which is accepted too."""
        while self.last > step():
            time.sleep(0.1)
        self.last = max(step(), self.last + 1)
        return code_of(self.secret, self.last)

    def code_of_none(self) -> str:
        """Six digits that are no code for hours."""
        near = {code_of(self.secret, self.last + offset) for offset in range(-400, 400)}
        return next(f"{number:06}" for number in range(10**6) if f"{number:06}" not in near)


def enroll(system: System, *options: str) -> Phone:
    """`pam-totp enroll` by alice at a terminal, with her phone."""
    command = " ".join(["pam-totp enroll", *options])
    terminal = system.on_terminal("su", "-", "alice", "-c", command)
    if options:
        terminal.expect("[Pp]assword.*: ")
        terminal.sendline(PASSWORD)
    terminal.expect(r"secret=([A-Z2-7]+)")
    assert isinstance(terminal.match, re.Match)
    secret = terminal.match[1]
    terminal.expect("Code from the app: ")
    terminal.sendline(code_of(secret, step()))
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0, terminal.before
    return Phone(str(secret))


def with_alice(root: Path) -> System:
    """The system with alice, who may use sudo, and bob; both have not enrolled."""
    system = System(root)
    for name in ("alice", "bob"):
        system.must_run("useradd", "--create-home", "--shell", "/bin/bash", name)
        system.must_run("chpasswd", typed=f"{name}:{PASSWORD}\n")
    system.must_run("usermod", "-aG", "sudo", "alice")
    return system
