# SPDX-License-Identifier: MIT
"""Whether the programs find what they import: tried in a process of its own, which a damaged file
may end."""

import subprocess
from collections.abc import Sequence

PYTHON = "/usr/bin/python3"
LIBRARY = "/usr/lib/pam-totp"
# As in scripts/pam-totp.
_PATHS = (
    f"import sys; sys.path[:0] = [{LIBRARY!r}]; sys.path += ['/usr/lib/python3/dist-packages']; "
)
MAX_SECONDS = 20


def failures_of(statements: Sequence[str]) -> dict[str, str]:
    """The statements that fail, each with the reason; one process if all succeed."""
    if not _failure("; ".join(statements)):
        return {}
    each = {statement: _failure(statement) for statement in statements}
    return {statement: failure for statement, failure in each.items() if failure}


def _failure(statement: str) -> str:
    try:
        done = subprocess.run(
            [PYTHON, "-BIS", "-c", _PATHS + statement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        return str(failure)
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return lines[-1] if done.returncode else ""
