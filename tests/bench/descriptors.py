# SPDX-License-Identifier: MIT
"""PAM applications under a hard limit of descriptors, which pam_exec closes up to Linux-PAM 1.5.

From Linux-PAM 1.6 on (Debian 13) it closes those that are open, and the limit makes no difference.
"""

import subprocess
from pathlib import Path

from tests.bench.rounds import UnexpectedResult
from tests.bench.worker import Worker

SYSTEMD, OTHERS = 65_536, 1_024  # pam_exec closes 65,535 at most, where systemd allows 524,288
SOURCE = Path(__file__).with_name("nofile.c")
FLAGS = ["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC"]


def application(limit: int) -> Worker:
    """tests/bench/application.py, which finds this limit whatever it is here."""
    library = f"/run/bench-nofile-{limit}.so"
    command = ["gcc", *FLAGS, f"-DHARD={limit}", "-o", library, str(SOURCE)]
    compiled = subprocess.run(command, capture_output=True, text=True)
    if compiled.returncode != 0:
        raise UnexpectedResult(f"{SOURCE.name}: {compiled.stderr}")
    python = ["/usr/bin/python3", "-m", "tests.bench.application", str(limit)]
    return Worker(*python, environment={"LD_PRELOAD": library})
