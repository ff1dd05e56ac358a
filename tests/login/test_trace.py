# SPDX-License-Identifier: MIT
"""How much code one plain login runs: what somebody reads who wants to know what it does.

Counted are the functions that have a name, however often they are called, and the files that they
stand in.
"""

import subprocess
from pathlib import Path

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, LOGIN
from tests.login.programs import gate, verify

# House rule: raised with a reason alone. Of a user who has logged in since the boot; and of the
# first login of a boot, in which the gate decides.
MAX_FUNCTIONS, MAX_FILES = 58, 17
MAX_FUNCTIONS_FIRST, MAX_FILES_FIRST = 66, 21

PROGRAM = """
import posix, sys
sys.argv[:] = [sys.argv[1]]
sys.path[:0] = ["/usr/lib/pam-totp"]
called = set()

def see(frame, event, argument):
    code = frame.f_code
    is_function = code.co_flags & 1 and not code.co_name.startswith("<")  # CO_OPTIMIZED; no class
    if event == "call" and "pam_totp/" in code.co_filename and is_function:
        called.add((code.co_filename.rpartition("pam_totp/")[2], code.co_firstlineno))

def end(status):
    sys.setprofile(None)
    posix.write(2, repr(sorted(called)).encode())
    leave(status)

leave, posix._exit = posix._exit, end
module = __import__(f"pam_totp.login.{sys.argv[0]}", fromlist=["main"])
sys.setprofile(see)
module.main()
"""


def trace(program: str, user: User, typed: str) -> tuple[int, set[tuple[str, int]]]:
    """The exit code, and each function that ran: its file below pam_totp/, and its first line."""
    run = subprocess.run(
        ["/usr/bin/python3", "-BIS", "-c", PROGRAM, program],
        env=LOGIN | {"PAM_USER": user.name},
        input=typed.encode(),
        stderr=subprocess.PIPE,
        timeout=60,
    )
    return run.returncode, {(file, line) for file, line in eval(run.stderr)}  # noqa: S307


def assert_few(called: set[tuple[str, int]], functions: int, files: int) -> None:
    assert len(called) <= functions, sorted(called)
    assert len({file for file, _ in called}) <= files, sorted(called)
    assert all(Path("/usr/lib/pam-totp/pam_totp", file).exists() for file, _ in called)


def test_plain_login_runs_few_functions_of_few_files(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    """Whose gate starts no interpreter."""
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    execs = ["strace", "-f", "-e", "trace=execve", "-o", str(tmp_path / "execs")]
    assert gate(user.name, through=execs) == ASK
    assert (tmp_path / "execs").read_text().count("execve(") == 1
    answer, called = trace("verify", user, credential.fresh_code())
    assert answer == ACCEPTED
    assert_few(called, MAX_FUNCTIONS, MAX_FILES)


def test_first_login_of_a_boot_runs_few_functions_more(user: User, credential: Credential) -> None:
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    asked, deciding = trace("gate", user, "")
    answer, verifier = trace("verify", user, credential.fresh_code())
    assert (asked, answer) == (ASK, ACCEPTED)
    assert_few(deciding | verifier, MAX_FUNCTIONS_FIRST, MAX_FILES_FIRST)
