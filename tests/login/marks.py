# SPDX-License-Identifier: MIT
"""The marks by which the gate asks without an interpreter: left by logins, seen by what starts."""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, GATE, RECORDS, VERIFY, run_as_pam_exec

MARKS = RECORDS / "certain"
SOURCE = Path(__file__).resolve().parents[2] / "pam_totp" / "pam" / "certain.c"


def mark_of(user: User | str) -> Path:
    return MARKS / (user if isinstance(user, str) else user.name)


def log_in(credential: Credential, name: str = "") -> None:
    """With a correct code, as if none had ever been used."""
    user = credential.user
    (RECORDS / str(user.uid)).unlink(missing_ok=True)
    done = run_as_pam_exec(VERIFY, name or user.name, credential.code())
    assert done.returncode == ACCEPTED


def answer_of_gate(user: User | str, **variables: str) -> tuple[int, bool]:
    """The exit code, and whether an interpreter was started for it."""
    name = user if isinstance(user, str) else user.name
    with tempfile.NamedTemporaryFile() as trace:
        through = ["strace", "-f", "-qq", "-e", "trace=execve", "-o", trace.name]
        done = run_as_pam_exec(GATE, name, through=through, variables=variables)
        starts = trace.read().count(b"execve(")
    assert starts in (1, 2)
    if starts == 1:
        assert (done.returncode, done.stdout, done.stderr) == (ASK, b"", b"")
    return done.returncode, starts == 2


def is_certain(user: User | str, **variables: str) -> bool:
    """Whether the gate asks without an interpreter."""
    return not answer_of_gate(user, **variables)[1]


def decides(user: User | str, **variables: str) -> int:
    """The exit code of a gate that started an interpreter."""
    answer, is_interpreted = answer_of_gate(user, **variables)
    assert is_interpreted
    return answer


def compiled(folder: Path) -> Callable[[str, str], bool]:
    """`is_certain(user, service)` of the launcher, in this very process."""
    library = folder / "certain.so"
    options = ["-std=gnu11", "-D_GNU_SOURCE=", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC"]
    subprocess.run(["gcc", *options, "-shared", "-o", str(library), str(SOURCE)], check=True)
    is_certain = ctypes.CDLL(str(library)).is_certain
    is_certain.restype = ctypes.c_bool

    def ask(user: str, service: str) -> bool:
        os.environ["PAM_USER"], os.environ["PAM_SERVICE"] = user, service
        try:
            return bool(is_certain())
        finally:
            del os.environ["PAM_USER"], os.environ["PAM_SERVICE"]

    return ask
