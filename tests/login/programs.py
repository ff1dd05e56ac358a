"""The installed gate and verifier, run as pam_exec does: a few variables and standard input."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GATE = "/usr/libexec/pam-totp/gate"
VERIFY = "/usr/libexec/pam-totp/verify"
NO_CODE_NEEDED, ASK = 0, 1
LET_IN, REFUSED = 0, 1
RECORDS = Path("/run/pam-totp")
STATE = Path("/var/lib/pam-totp")
LOGIN = {"PAM_SERVICE": "sshd", "PAM_RHOST": "192.0.2.7", "PAM_TTY": "ssh", "PAM_TYPE": "auth"}
FAKE_CLOCK = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def run(
    program: str,
    user: str | bytes,
    typed: bytes = b"",
    *,
    through: Sequence[str] = (),
    arguments: Sequence[str] = (),
    variables: dict[str, str] | None = None,
    **options: Any,
) -> int:
    """The exit code of a program that must print nothing, started `through` another command.

    `variables` come on top of those of a login over ssh; `options` are subprocess.run's.
    """
    name = user if isinstance(user, bytes) else user.encode("utf-8", "surrogateescape")
    given = {key.encode(): value.encode() for key, value in (LOGIN | (variables or {})).items()}
    if "stdin" not in options:
        options["input"] = typed
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [*through, program, *arguments],
        env={**given, b"PAM_USER": name},
        capture_output=True,
        **options,
    )
    assert (done.stdout, done.stderr) == (b"", b""), "what it prints reaches a stranger"
    return done.returncode


def verify(user: str | bytes, typed: str | bytes, **options: Any) -> int:
    """The exit code of the verifier on what was typed; `options` as for `run`."""
    return run(VERIFY, user, typed.encode() if isinstance(typed, str) else typed, **options)


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
