# SPDX-License-Identifier: MIT
"""The installed gate and verifier, run as pam_exec does: a few variables and standard input."""

from pathlib import Path
from typing import Any

from tests.host.programs import GATE, VERIFY, run_as_pam_exec

FAKE_CLOCK = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def run(program: str, user: str | bytes, typed: str | bytes = b"", **options: Any) -> int:
    """The exit code of a program that must print nothing; `options`: run_as_pam_exec's."""
    done = run_as_pam_exec(program, user, typed, **options)
    assert (done.stdout, done.stderr) == (b"", b""), "what it prints reaches a stranger"
    return done.returncode


def verify(user: str | bytes, typed: str | bytes, **options: Any) -> int:
    """The exit code of the verifier on what was typed; `options` as for `run`."""
    return run(VERIFY, user, typed, **options)


def gate(user: str | bytes, **options: Any) -> int:
    """The exit code of the gate; `options` as for `run`."""
    return run(GATE, user, **options)


def clock_at(seconds: int, zone: str = "UTC") -> dict[str, str]:
    """Variables under which a program finds the clock standing at this Unix time."""
    return {
        "LD_PRELOAD": str(FAKE_CLOCK),
        "FAKETIME": str(seconds),
        "FAKETIME_FMT": "%s",
        "DONT_FAKE_MONOTONIC": "1",
        "TZ": zone,
    }
