# SPDX-License-Identifier: MIT
"""The programs that gate and verify become for users who have passed the first factor: one lets
them enroll at the login itself, one sends them a code. They have libraries that no other login
loads, and never end with 0."""

import posix
from _signal import alarm  # type: ignore[import-not-found]

from pam_totp.records.host import audit
from pam_totp.rules.reasons import INTERNAL_ERROR
from pam_totp.rules.request import Request

MAX_SECONDS = 20  # they ask PAM, write in the home, and hold the account's lock meanwhile


def become(request: Request, program: str, *arguments: str) -> None:
    """Goes on as `show-enrollment` or `send-code`. Raises OSError, once it is logged."""
    alarm(MAX_SECONDS)  # which outlives the exec
    # The launcher's call of an agent, which a login with another store than a fleet's leaves open.
    if call := posix.environ.pop(b"AGENT_CALL", b""):
        posix.close(int(call.split()[0]))
    path, module = f"/usr/libexec/pam-totp/{program}", program.replace("-", "_")
    try:
        posix.execv(path, [program, module, *arguments])
    except OSError as failure:
        audit.write(request, "ask", INTERNAL_ERROR, f"cannot run {path}: {failure.strerror}")
        raise
