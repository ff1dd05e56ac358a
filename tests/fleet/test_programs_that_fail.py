# SPDX-License-Identifier: MIT
"""What is said where a program of PostgreSQL fails."""

import pytest

from pam_totp.errors import Error
from pam_totp.fleet import programs

FULL = 'FATAL:  could not write file "pg_wal/x": No space left on device'
OTHER = "initdb: error: invalid locale settings"
LAST = "Error: initdb failed"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([FULL, "child process exited with exit code 1", LAST], FULL),
        ([OTHER, "initdb: removing data directory"], OTHER),
        (["it ended"], "it ended"),
        ([], "exit code 3"),
    ],
)
def test_the_reason_is_the_disks_or_else_the_last_error(said: list[str], reason: str) -> None:
    """pg_createcluster says last that initdb failed; why, initdb has said before."""
    script = "".join(f"echo '{line}'; " for line in said)
    with pytest.raises(Error) as failed:
        programs.run(["sh", "-c", f"{script}exit 3"], "df -h")
    assert failed.value.message == f"sh failed: {reason}"
