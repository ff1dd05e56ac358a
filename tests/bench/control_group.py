# SPDX-License-Identifier: MIT
"""The processor time of a daemon and all that it starts, in a control group of its own.

cpu.stat (cgroups(7)) is there without any controller. What a process has started counts also when
nobody waited for it, unlike in getrusage(2).
"""

import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.rounds import UnexpectedResult

MOUNTED = Path("/run/bench-cgroups")
LEFT_FOR = Path("/sys/fs/cgroup/cgroup.procs")
SECONDS_TO_END = 10


class ControlGroup:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, process: int) -> None:
        """And what it will start."""
        (self._path / "cgroup.procs").write_text(str(process), encoding="ascii")

    def processor_ms(self) -> float:
        """All that was used until now, as soon as only one process is left."""
        self._wait_for(1)
        lines = (self._path / "cpu.stat").read_text(encoding="ascii").splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1000

    def remove(self) -> None:
        """As soon as no process is left."""
        self._wait_for(0)
        self._path.rmdir()

    def _wait_for(self, left: int) -> None:
        deadline = time.monotonic() + SECONDS_TO_END
        while len((self._path / "cgroup.procs").read_text(encoding="ascii").split()) > left:
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"processes of {self._path.name} do not end")
            time.sleep(0.001)


def make_control_group() -> ControlGroup | None:
    """One below our own; None in a container that may not make one, or where our programs would
    leave it (pam_totp/pam/launch.c)."""
    if LEFT_FOR.exists():
        return None
    MOUNTED.mkdir(exist_ok=True)
    if not MOUNTED.is_mount():
        command = ["mount", "-t", "cgroup2", "cgroup2", str(MOUNTED)]
        subprocess.run(command, capture_output=True)
    lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    own = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    if not MOUNTED.is_mount() or not own:
        return None
    try:
        # All hosts of the machine see it: of two benches each has its own.
        path = tempfile.mkdtemp(prefix="pam-totp-bench-", dir=MOUNTED / own[0])
    except OSError:
        return None
    return ControlGroup(Path(path))
