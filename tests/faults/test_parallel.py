# SPDX-License-Identifier: MIT
"""Logins at the same moment: one code is accepted once, no record is lost, nobody waits for ever.

pam_oath and google-authenticator each accepted one code twice when two logins met.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.sizes import choose
from tests.faults.subject import Record, Subject
from tests.host.accounts import User, add_user, remove_user
from tests.host.credentials import Credential, new_secrets
from tests.host.pam_services import PamServices
from tests.host.programs import GATE, VERIFY
from tests.host.ssh_client import client_options
from tests.host.ssh_server import SshServer
from tests.host.system_log import SystemLog
from tests.host.terminal import Session

AT_ONCE = 16
USERS, DEVICES = 100, 5
ROUNDS = choose(1, 10)
SECONDS_TO_START = 30

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def subject(user: User) -> Iterator[Subject]:
    subject = Subject(user=user)
    subject.enroll()
    yield subject
    subject.forget()


def at_once(argv: Sequence[str], subject: Subject, typed: Sequence[str]) -> list[bool]:
    """Runs the program once for each thing typed, all at once; whether it was accepted."""
    processes = [
        subprocess.Popen(
            argv, env=subject.variables, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for _ in typed
    ]
    deadline = time.monotonic() + SECONDS_TO_START
    while not all(map(is_waiting, processes)):  # to read it; the gate reads nothing and just runs
        assert time.monotonic() < deadline
    for process, code in zip(processes, typed, strict=True):
        assert process.stdin is not None
        process.stdin.write(code.encode())
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    return [process.wait(timeout=60) == 0 for process in processes]


def slowly(call: str, program: str) -> list[str]:
    """The program, which takes its time for one system call: a verifier that did not wait, and
    decided before another one made it, is caught."""
    strace = ["/usr/bin/strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={call}"]
    return [*strace, "-e", f"inject={call}:delay_enter=100000", program]


def is_waiting(process: "subprocess.Popen[bytes]") -> bool:
    """Asleep, or at its end."""
    status = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    return status.rpartition(")")[2].split()[0] in "SZ"


def test_of_50_processes_with_one_code_exactly_one_gets_in(
    subject: Subject, count: Callable[[str], None]
) -> None:
    for _ in range(ROUNDS):
        subject.enroll()
        accepted = at_once([VERIFY], subject, [subject.credential.code()] * 50)
        assert accepted.count(True) == 1
    count(f"one code: {ROUNDS} x 50 processes at once, {ROUNDS} x 1 accepted")


def test_of_50_processes_with_one_code_of_a_token_exactly_one_gets_in(
    subject: Subject, count: Callable[[str], None]
) -> None:
    for _ in range(ROUNDS):
        subject.enroll_token()
        accepted = at_once([VERIFY], subject, [subject.credential.code_of(7)] * 50)
        assert accepted.count(True) == 1
        assert subject.kept().last_counters == {subject.identity: 7}
    count(f"one code of a token: {ROUNDS} x 50 processes at once, {ROUNDS} x 1 accepted")


def test_of_50_processes_with_one_recovery_code_exactly_one_gets_in(
    subject: Subject, count: Callable[[str], None]
) -> None:
    for _ in range(ROUNDS):
        subject.enroll()
        accepted = at_once([VERIFY], subject, [subject.recovery.codes[0]] * 50)
        assert accepted.count(True) == 1
        assert subject.kept().spent_hashes == {subject.recovery.hashes[0]}
    count(f"one recovery code: {ROUNDS} x 50 processes at once, {ROUNDS} x 1 accepted")


def test_ten_recovery_codes_at_once_are_all_recorded(subject: Subject) -> None:
    assert at_once([VERIFY], subject, subject.recovery.codes) == [True] * 10
    assert subject.kept().spent_hashes == set(subject.recovery.hashes)
    assert at_once([VERIFY], subject, subject.recovery.codes) == [False] * 10


def test_of_20_gates_with_one_grant_for_one_login_exactly_one_asks_for_no_code(
    subject: Subject, count: Callable[[str], None]
) -> None:
    for _ in range(ROUNDS):
        subject.grant_once()
        assert at_once([GATE], subject, [""] * 20).count(True) == 1
    count(f"one grant --once: {ROUNDS} x 20 gates at once, {ROUNDS} x 1 accepted")


def test_each_verifier_waits_until_the_one_before_has_recorded(subject: Subject) -> None:
    accepted = at_once(slowly("pwrite64", VERIFY), subject, [subject.credential.code()] * 5)
    assert accepted.count(True) == 1
    recovery_code = subject.recovery.codes[0]
    accepted = at_once(slowly("rename,renameat,renameat2", VERIFY), subject, [recovery_code] * 5)
    assert accepted.count(True) == 1
    subject.grant_once()
    assert at_once(slowly("unlinkat", GATE), subject, [""] * 5).count(True) == 1


def test_guesses_at_once_are_counted_one_by_one(subject: Subject, syslog: SystemLog) -> None:
    subject.enroll(recorded=False)
    wrong = [subject.credential.incorrect_code(index) for index in range(30)]
    assert at_once([VERIFY], subject, wrong) == [False] * 30
    reasons = [each["reason"] for each in syslog.decisions()]
    assert (reasons.count("wrong-code"), reasons.count("throttled")) == (5, 25)
    assert Record.parse(subject.kept().record or b"").failures == 5


def log_in_twice(argv: Sequence[str], subject: Subject) -> list[int]:
    """Two ssh clients that type the same code as soon as both got the password right; how they
    ended."""
    sessions = [Session(argv, None, {}) for _ in range(2)]
    code = subject.credential.code()
    meet = threading.Barrier(2)

    def log_in(session: Session) -> int:
        session.answer("Password:", subject.user.password)
        meet.wait(30)
        session.answer("Verification code:", code)
        return session.finish().status

    try:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(log_in, sessions))
    finally:
        for session in sessions:
            session.close()


def test_of_two_ssh_sessions_with_one_code_exactly_one_gets_in(
    subject: Subject, sshd: SshServer, pam_services: PamServices, count: Callable[[str], None]
) -> None:
    pam_services.add("sshd", ["auth required pam_totp.so tries=1"])
    user = subject.user.name
    argv = ["/usr/bin/ssh", *client_options(sshd), "-l", user, "server", "id -un"]
    for _ in range(ROUNDS):
        subject.enroll()
        assert sorted(log_in_twice(argv, subject)) == [0, 255]
    count(f"one code: {ROUNDS} x 2 ssh sessions at once, {ROUNDS} x 1 accepted")


@pytest.fixture
def crowd() -> Iterator[list[User]]:
    users = [add_user() for _ in range(USERS)]
    yield users
    for user in users:
        remove_user(user)


def test_500_logins_of_100_users_lose_no_step_and_never_deadlock(
    crowd: list[User], count: Callable[[str], None]
) -> None:
    subjects = {user.name: Subject(user=user) for user in crowd}
    devices = {
        name: [Credential(subject.user, secret) for secret in new_secrets(DEVICES)]
        for name, subject in subjects.items()
    }
    for name, subject in subjects.items():
        lines = (
            f"otpauth://totp/server:{name}?secret={device.secret} phone {number}\n"
            for number, device in enumerate(devices[name])
        )
        subject.user.give(subject.home("secret"), "".join(lines))

    def log_in(login: tuple[str, Credential]) -> int:
        name, device = login
        step = device.step()
        assert subjects[name].verify(device.code_of(step)).status == 0, name
        return step

    logins = [(name, device) for name in subjects for device in devices[name]]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        steps = list(pool.map(log_in, logins))
    for name, subject in subjects.items():
        recorded = Record.parse(subject.kept().record or b"").steps
        assert sorted(recorded.values()) == sorted(
            step for (login, _), step in zip(logins, steps, strict=True) if login == name
        )
        assert len(recorded) == DEVICES
    count(f"{len(logins)} logins of {USERS} users, {AT_ONCE} at once: all accepted, no step lost")
