# SPDX-License-Identifier: MIT
"""`make demo-fleet`: the commands of the manual, real sshds, and a failover that waits its time.

The one test that waits for a promoted server to accept codes again: others move the store's clock.
"""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
COMMAND = [str(REPOSITORY / "tests/host/enter"), "/usr/bin/python3", "scripts/demo-fleet"]
SECONDS = 400  # two minutes on a machine of its own
REASONS = ["totp", "reused-code", "store-unavailable", "store-promoted", "totp", "reused-code"]


@pytest.mark.timeout(SECONDS + 20)
def test_the_demo_of_a_fleet_plays_a_failover_to_its_end() -> None:
    done = subprocess.run(
        COMMAND, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS
    )
    shown = done.stdout.decode("utf-8", "replace")
    assert (done.returncode, done.stderr) == (0, b""), shown
    logged = [line for line in shown.splitlines() if "log: verdict=" in line]
    assert [line.partition("reason=")[2].split()[0] for line in logged] == REASONS
    assert shown.count("=> accepted") == 2 and shown.count("=> refused") == 4
