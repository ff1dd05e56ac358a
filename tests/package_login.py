# SPDX-License-Identifier: MIT
"""What a person does with the installed package in a whole system, and what a purge leaves.

Runs in a throw-away host (tests/package_roots): mounts and processes end with it.
"""

import hashlib
import io
import re
import subprocess
import time
from pathlib import Path

import pexpect

LINE = "auth required pam_totp.so\n"
PASSWORD = "correct horse"
SECRET_OF_THE_TEST = "root/secret"
SECONDS = 20
STEP_SECONDS = 30  # RFC 6238, section 4.1

Dialogue = list[tuple[str, str]]


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

    def log_in(self, *codes: str) -> tuple[bool, str]:
        """One ssh login of alice; whether it succeeded, and all that was shown."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        arguments = [f"-o{option}" for option in (*options, "NumberOfPasswordPrompts=1")]
        ssh = self.on_terminal("ssh", *arguments, "alice@127.0.0.1", "id", "-un")
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
        accepted = ssh.exitstatus == 0 and shown.getvalue().split()[-1] == "alice"
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


def enroll(system: System, *options: str) -> str:
    """`pam-totp enroll` by alice at a terminal; the secret that her phone would hold."""
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
    return str(secret)


def with_alice(root: Path) -> System:
    """The system, with a user who has not enrolled."""
    system = System(root)
    system.must_run("useradd", "--create-home", "--shell", "/bin/bash", "alice")
    system.must_run("chpasswd", typed=f"alice:{PASSWORD}\n")
    return system


def log_in_and_purge(root: Path) -> None:
    """All that must hold in a system with the package installed; AssertionError otherwise."""
    system = with_alice(root)
    before = watched_files(root)
    check_installed(root)
    ask_for_codes(system)
    server = system.start_sshd()
    try:
        check_logins(system)
        check_removal(system, before)
        assert system.log_in()[0], "after the purge the password alone lets in again"
    finally:
        server.terminate()
        server.wait(timeout=SECONDS)


def check_installed(root: Path) -> None:
    """What only the package's own scripts can do: compile for this Python, make the state."""
    library = root / "usr/lib/pam-totp"
    for source in library.rglob("*.py"):
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        assert compiled.stat().st_uid == 0
    for folder in ("run/pam-totp", "var/lib/pam-totp"):
        assert (root / folder).stat().st_mode & 0o7777 == 0o700, folder


def ask_for_codes(system: System) -> None:
    """The administrator's steps of the README."""
    enable = ("pam-totp", "enable", "sshd", "--first-factor", "password")
    system.must_run(*enable, "--yes", "--force", "--no-trial")
    assert LINE in (system.root / "etc/pam.d/sshd").read_text()
    system.must_run("sshd", "-t")


def check_logins(system: System) -> None:
    """Who is not enrolled is not asked; then the correct code once, and nothing else."""
    assert system.log_in()[0], "not enrolled, and the password did not let in"
    secret = enroll(system)
    used = step()
    code = code_of(secret, used)
    accepted, shown = system.log_in(code)
    assert accepted, f"the correct code was refused: {shown}"
    near = {code_of(secret, used + offset) for offset in range(-400, 400)}
    wrong = next(f"{number:06}" for number in range(10**6) if f"{number:06}" not in near)
    assert not system.log_in(wrong, wrong, wrong)[0], "an incorrect code was taken"
    assert not system.log_in(code, code, code)[0], "a used code was taken again"
    # Again, with the password asked for: python-pam and all it needs are there.
    enroll(system, "--add", "--device", "tablet")


def check_removal(system: System, before: dict[str, str]) -> None:
    """sshd is as it was, with no file edited; and nothing is left but the user's secret."""
    files = system.must_run("dpkg", "-L", "pam-totp").split("\n")
    system.must_run("apt-get", "-qq", "purge", "-y", "pam-totp")
    assert watched_files(system.root) == before
    left = [name for name in files if "totp" in name and (system.root / name[1:]).exists()]
    assert left == []
    search = ("find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/dev", ")", "-prune")
    names = system.must_run(*search, "-o", "-name", "*pam[-_]totp*", "-print").split()
    names = [name for name in names if not re.fullmatch(r"/pam-totp_.*\.deb", name)]
    assert names == ["/home/alice/.config/pam-totp"]


def turn_on_before_an_upgrade(root: Path) -> None:
    """alice has enrolled and logged in with a code; AssertionError otherwise."""
    system = with_alice(root)
    ask_for_codes(system)
    secret = enroll(system)
    (root / SECRET_OF_THE_TEST).write_text(secret)
    server = system.start_sshd()
    try:
        check_login_after_an_upgrade(system)
    finally:
        server.terminate()
        server.wait(timeout=SECONDS)


def log_in_after_an_upgrade(root: Path) -> None:
    """The same code as before, once; and what logins load is this Python's. AssertionError."""
    system = System(root)
    tag = system.must_run(
        "/usr/bin/python3", "-c", "import sys; print(sys.implementation.cache_tag)"
    )
    for program in ("gate", "verify"):
        compiled = (
            root / "usr/lib/pam-totp/pam_totp/__pycache__" / f"{program}.{tag.strip()}.bundle"
        )
        assert compiled.exists(), f"{compiled} is missing"
    server = system.start_sshd()
    try:
        check_login_after_an_upgrade(system)
        assert system.run("pam-totp", "explain", "alice").returncode == 0
    finally:
        server.terminate()
        server.wait(timeout=SECONDS)


def check_login_after_an_upgrade(system: System) -> None:
    code = code_of((system.root / SECRET_OF_THE_TEST).read_text(), step())
    accepted, shown = system.log_in(code)
    assert accepted, f"the correct code was refused: {shown}"
    assert not system.log_in(code, code, code)[0], "a used code was taken again"
    system.must_run("pam-totp", "unlock", "alice")
