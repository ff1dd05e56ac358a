# SPDX-License-Identifier: MIT
"""A process that measures for the bench, asked and answered through pipes.

marshal, because it is compiled into the interpreter: one of the workers has to stay small.
"""

import marshal
import os
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


class Worker:
    """Runs in the repository with the environment that PAM modules find in a daemon: hardly any."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"]},
        )

    def ask(self, *question: Any) -> Any:
        """What the worker's function returns for these arguments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        marshal.dump(question, self._process.stdin)
        self._process.stdin.flush()
        return marshal.load(self._process.stdout)
