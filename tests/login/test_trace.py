# SPDX-License-Identifier: MIT
"""How much code one plain login runs: what somebody reads who wants to know what it does.

Of a user who has logged in with a code before, over both programs. Counted are the functions that
have a name, however often they are called, and the files that they stand in.
"""

import subprocess
from pathlib import Path

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, LOGIN
from tests.login.programs import verify

# House rule: only ever lowered.
MAX_FUNCTIONS, MAX_FILES = 60, 18

PROGRAM = """
import posix, sys
sys.argv[:] = [sys.argv[1]]
sys.path[:0] = ["/usr/lib/pam-totp"]
called = set()

def see(frame, event, argument):
    code = frame.f_code
    if event == "call" and "pam_totp/" in code.co_filename and not code.co_name.startswith("<"):
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


def test_plain_login_runs_few_functions_of_few_files(user: User, credential: Credential) -> None:
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    asked, gate = trace("gate", user, "")
    answer, verifier = trace("verify", user, credential.fresh_code())
    assert (asked, answer) == (ASK, ACCEPTED)
    called = gate | verifier
    assert len(called) <= MAX_FUNCTIONS, sorted(called)
    assert len({file for file, _ in called}) <= MAX_FILES, sorted(called)
    assert all(Path("/usr/lib/pam-totp/pam_totp", file).exists() for file, _ in called)
