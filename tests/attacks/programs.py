# SPDX-License-Identifier: MIT
"""The installed programs as an attacker meets them: their exit code and whatever they print."""

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp

from tests.host.programs import COMMAND, GATE, VERIFY, run_as_pam_exec

MAX_SECONDS = 2.0  # within which even a trap gets its answer
QUESTION = "Code from the app: "
CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")


@dataclass(frozen=True)
class Answer:
    """`status`: the exit code, negative after a signal; `printed`: what a stranger would see."""

    status: int
    printed: bytes


def run(program: str, user: str | bytes, typed: str | bytes = b"", **options: Any) -> Answer:
    """Gate or verifier; `options`: run_as_pam_exec's."""
    done = run_as_pam_exec(program, user, typed, stderr=subprocess.STDOUT, **options)
    return Answer(done.returncode, done.stdout)


def gate(user: str | bytes, **options: Any) -> int:
    """The exit code of the gate; `options` as for `run`."""
    return run(GATE, user, **options).status


def verify(user: str | bytes, typed: str | bytes, **options: Any) -> int:
    """The exit code of the verifier on what was typed; `options` as for `run`."""
    return run(VERIFY, user, typed, **options).status


def command(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run `pam-totp` as root; `options` are subprocess.run's."""
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}
    return subprocess.run([COMMAND, *arguments], **(defaults | options))


def enroll(user: str, through: Sequence[str] = (), umask: int = 0o022) -> int:
    """Root enrolls a user, typing the correct code; the exit code, negative after a signal."""
    process = subprocess.Popen(
        [*through, COMMAND, "enroll", "--user", user],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=umask,
    )
    assert process.stdin is not None and process.stdout is not None
    shown = ""
    # Not before it is asked for: of a code that waits already, it prints no question.
    while not shown.endswith(QUESTION) and (more := process.stdout.read(1)):
        shown += more
    if shown.endswith(QUESTION):
        totp = pyotp.TOTP(re.search("secret=([A-Z2-7]+)", shown)[1])  # type: ignore[index]
        process.stdin.write(f"{totp.generate_otp(int(time.time()) // 30)}\n")
    process.stdin.close()
    process.stdout.read()
    process.stdout.close()
    return process.wait()


def traced(trace: Path, *options: str) -> list[str]:
    """The command to start a program through, so that strace writes its calls to `trace`."""
    return ["/usr/bin/strace", "-f", "-o", str(trace), *options, "--"]


def failing(call: str, number: int | str, how: str, trace: Path = Path("/dev/null")) -> list[str]:
    """The command to start a program through, so that the `number`th such call fails.

    A `number` such as "3+" is strace's own way to say it: the third and every later one.
    """
    injected = f"inject={call}:{how}:when={number}"
    options = ["-f", "-y", "-o", str(trace), "-e", f"trace={call}", "-e", injected]
    return ["/usr/bin/strace", *options, "--"]


def number_of(trace: Path, call: str, containing: str) -> int:
    """The how-manieth call of this name is the first that contains the text."""
    count = 0
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        found = CALL.match(line)
        if found and found[1] == call:
            count += 1
            if containing in found[2]:
                return count
    raise AssertionError(f"no {call} with {containing}")
