# SPDX-License-Identifier: MIT
"""gate and verify do not run as their caller does: scheduler, niceness, processors, signals."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import GATE, LOGIN, VERIFY

MAX_SECONDS = 60  # far more than either takes


def start(program: str, user: User, *through: str, **options: object) -> "subprocess.Popen[bytes]":
    """The program, begun and waiting: `verify` for its standard input."""
    variables = LOGIN | {"PAM_USER": user.name}
    command = [*through, program]
    return subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def wait_until_it_reads(process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + MAX_SECONDS
    while not Path(f"/proc/{process.pid}/wchan").read_text().startswith(("pipe", "anon_pipe")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "through",
    [
        ["chrt", "--idle", "0"],
        ["chrt", "--batch", "0"],
        ["chrt", "--rr", "1"],
        ["nice", "-n", "19"],
        ["taskset", "--cpu-list", "0"],
    ],
    ids=lambda words: words[0] + words[1],
)
def test_verifier_is_scheduled_as_usual_for_every_caller(
    user: User, enrolled: Callable[..., Credential], through: list[str]
) -> None:
    code = enrolled(user).fresh_code()
    everywhere = os.sched_getaffinity(0)
    process = start(VERIFY, user, *through)
    try:
        wait_until_it_reads(process)
        assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 0
        assert os.sched_getaffinity(process.pid) == everywhere
        process.communicate(code.encode(), timeout=MAX_SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def test_verifier_that_is_kept_waiting_ends_and_refuses_whatever_its_caller_does_with_alarms(
    user: User,
) -> None:
    def keep_alarms_out() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})

    process = start(VERIFY, user, preexec_fn=keep_alarms_out)
    try:
        assert process.wait(timeout=MAX_SECONDS) == -signal.SIGALRM
    finally:
        process.kill()
        process.wait()


def test_gate_is_scheduled_as_usual_for_every_caller(user: User) -> None:
    """The calls themselves: it never waits for anything."""
    calls = ["strace", "-f", "-e", "trace=sched_setscheduler,setpriority,sched_setaffinity"]
    traced = subprocess.run(
        [*calls, "chrt", "--idle", "0", GATE],
        env=LOGIN | {"PAM_USER": user.name, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    for call in ("sched_setscheduler(0, SCHED_OTHER", "setpriority(PRIO_PROCESS, 0, 0)"):
        assert call in traced.stderr
    assert "sched_setaffinity(0, " in traced.stderr
