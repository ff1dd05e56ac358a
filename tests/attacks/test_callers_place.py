# SPDX-License-Identifier: MIT
"""Rules 30 and 31: a user who calls su prepares the place where root's programs begin.

Real calls of su, by an ordinary user, to become another one or the same: with limits under which an
interpreter aborts or spins, and in a control group that is frozen while the account's lock is held.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PASSWORD_LINE, PamServices, shipped_lines
from tests.host.programs import ACCEPTED, GATE, RECORDS, VERIFY, run_as_pam_exec
from tests.login.test_launcher import (
    WAITS,
    executable_file,
    in_place_of_the_interpreter,
    started,
)
from tests.trial.change_host import wait_until

MAX_SECONDS = 60  # far more than the 30 after which verify is ended, whatever it does
GROUPS = Path("/sys/fs/cgroup")
LIMITS = [
    *(f"ulimit -v {kibibytes}" for kibibytes in range(6144, 24577, 1024)),
    *(f"ulimit -d {kibibytes}" for kibibytes in range(1500, 2200, 100)),
    *(f"ulimit -s {kibibytes}" for kibibytes in (64, 96, 128, 192, 256)),
    "ulimit -t 1",
    "ulimit -f 0",
    "ulimit -n 5",
    "ulimit -u 1",
]
# Around this Debian's python3 begins to run; there it aborts, or spins.
FINELY = [f"ulimit -v {kibibytes}" for kibibytes in range(10500, 12501, 64)]


@pytest.fixture(scope="module", autouse=True)
def kept_waiting() -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """Both, from before the first test on: the last one sees how they ended."""
    deaf = ("env", "--ignore-signal=ALRM", "--block-signal=ALRM")
    with contextlib.ExitStack() as both:
        with in_place_of_the_interpreter(executable_file(WAITS)):
            waiting = {each: both.enter_context(started(each, *deaf)) for each in (GATE, VERIFY)}
        yield waiting


def processes_for(user: User) -> list[Path]:
    """What runs as root for a login of this user."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if f"PAM_USER={user.name}".encode() in variables and process.stat().st_uid == 0:
                found.append(process)
    return found


@pytest.fixture
def calls_of_su(pam_services: PamServices, user: User) -> list[str]:
    """su with the module, and su with a plain pam_exec line: a login's stack is another one."""
    stack = Path("/etc/pam.d/su").read_text(encoding="utf-8")
    plain = "\n".join(shipped_lines("key-then-code-without-module"))
    pam_services.write("su-l", stack.replace(PASSWORD_LINE, plain))
    pam_services.add("su", shipped_lines("password-then-code"))
    user.give(user.home / "both", f"{user.password}\nfirst\n")
    user.give(user.home / "code", "first\n")
    with_module, without = f"su {user.name} -c true <both", f"su -l {user.name} -c true <code"
    calls = [f"{limit}; exec {with_module}" for limit in LIMITS]
    return calls + [f"{limit}; exec {without}" for limit in LIMITS + FINELY]


def test_limits_of_a_caller_of_su_leave_no_core_file_and_no_process(
    user: User, credential: Credential, calls_of_su: list[str]
) -> None:
    before = set(Path("/").glob("core*"))
    calls = [
        subprocess.Popen(
            user.command(["/bin/bash", "-c", f"ulimit -c unlimited; {call}"]),
            cwd=user.home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for call in calls_of_su
    ]
    deadline = time.monotonic() + MAX_SECONDS
    with contextlib.suppress(subprocess.TimeoutExpired):
        for each in calls:
            assert each.wait(max(0, deadline - time.monotonic())) != 0
    left = processes_for(user)
    for process in left:
        os.kill(int(process.name), signal.SIGKILL)
    assert left == []
    assert list(user.home.rglob("core*")) == []
    assert set(Path("/").glob("core*")) == before
    code = credential.fresh_code()
    assert run_as_pam_exec(VERIFY, user.name, code).returncode == ACCEPTED


class Groups:
    """Control groups (cgroup v2) with a name of this test's own, below the real root of all."""

    def __init__(self) -> None:
        self._made: list[Path] = []
        self.name = f"pam-totp-tests-{os.stat('/proc/self/ns/pid').st_ino}"

    def make(self, path: str, owner: int = 0) -> Path:
        group = GROUPS
        for part in path.split("/"):
            group /= part
            if not group.exists():
                group.mkdir(exist_ok=True)
                self._made.append(group)
        for name in ("", "cgroup.procs", "cgroup.freeze"):
            os.chown(group / name, owner, owner)
        return group

    def remove(self) -> None:
        for group in reversed(self._made):
            if self.name in str(group):
                (group / "cgroup.freeze").write_text("0")
                (group / "cgroup.kill").write_text("1")
                wait_until(partial(is_empty, group))
            with contextlib.suppress(OSError):  # system.slice, which others may use by now
                group.rmdir()


def is_empty(group: Path) -> bool:
    return "populated 0" in (group / "cgroup.events").read_text()


@pytest.fixture
def groups() -> Iterator[Groups]:
    GROUPS.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", GROUPS], check=True)
    made = Groups()
    try:
        yield made
    finally:
        made.remove()
        subprocess.run(["umount", GROUPS], check=True)


@contextlib.contextmanager
def frozen(group: Path) -> Iterator[None]:
    (group / "cgroup.freeze").write_text("1")
    try:
        wait_until(lambda: "frozen 1" in (group / "cgroup.events").read_text())
        yield
    finally:
        (group / "cgroup.freeze").write_text("0")


def group_of(process: int | str) -> str:
    lines = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def place_of_root() -> str:
    return "/init.scope" if (GROUPS / "init.scope").exists() else "/"


def inside(group: Path, command: list[str]) -> list[str]:
    """The command, to run in the group."""
    return ["sh", "-c", f'echo 0 >"{group}/cgroup.procs"; exec "$@"', "sh", *command]


def is_locked(record: Path) -> bool:
    with record.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def test_group_that_is_frozen_while_the_account_is_locked_keeps_nobody_out(
    user: User, credential: Credential, groups: Groups, pam_services: PamServices
) -> None:
    """strace, which is outside, holds verify for three seconds while it has the lock."""
    pam_services.add("su", shipped_lines("password-then-code"))
    record, group = RECORDS / str(user.uid), groups.make(groups.name, user.uid)
    run_as_pam_exec(VERIFY, user.name, credential.incorrect_code())
    while_locked = ["-P", str(record), "-e", "inject=pwrite64:delay_enter=3000000:when=1"]
    slow = ["strace", "-f", "-o", "/dev/null", *while_locked, "--"]
    su = user.command(["su", user.name, "-c", "id -un"])
    with subprocess.Popen(
        [*slow, *inside(group, su)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as attack:
        assert attack.stdin is not None and attack.stdout is not None
        attack.stdin.write(f"{user.password}\n{credential.fresh_code()}\n")
        attack.stdin.close()
        wait_until(lambda: is_locked(record))
        with frozen(group):
            (verifier,) = processes_for(user)
            assert is_locked(record)
            assert group_of(verifier.name) == place_of_root()
            elsewhere = run_as_pam_exec(VERIFY, user.name, credential.fresh_code())
            assert elsewhere.returncode == ACCEPTED
        assert attack.stdout.read() == f"{user.name}\n"


def group_of_verify_in(group: Path, user: User) -> str:
    """Where it is as it waits for the code."""
    with subprocess.Popen(
        inside(group, [VERIFY]), stdin=subprocess.PIPE, env={"PAM_USER": user.name}
    ) as process:
        wait_until(lambda: b"-BIS" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
        try:
            return group_of(process.pid)
        finally:
            process.kill()


def test_only_in_a_group_of_systemds_own_it_stays(user: User, groups: Groups) -> None:
    """By which the journal knows that a line is of ssh.service."""
    service = f"system.slice/{groups.name}.service"
    roots = groups.make(service)
    assert group_of_verify_in(roots, user) == f"/{service}"
    handed_over = groups.make(f"{service}/handed-over", user.uid)
    assert group_of_verify_in(handed_over, user) == place_of_root()
    session = groups.make(f"{groups.name}/session")
    assert group_of_verify_in(session, user) == place_of_root()


def test_group_that_is_called_as_one_of_systemds_is_none(user: User, groups: Groups) -> None:
    """A user to whom a group belongs, as with a systemd of its own, names others below it."""
    service = f"system.slice/{groups.name}.service"
    groups.make(service)
    called_so = groups.make(f"{groups.name}/0::/{service}", user.uid)
    assert group_of_verify_in(called_so, user) == place_of_root()


@pytest.mark.parametrize("program", [GATE, VERIFY], ids=["gate", "verify"])
def test_what_hangs_is_ended_whatever_its_caller_does_with_alarms(
    kept_waiting: dict[str, "subprocess.Popen[bytes]"], program: str
) -> None:
    assert kept_waiting[program].wait(timeout=MAX_SECONDS) == -signal.SIGALRM
