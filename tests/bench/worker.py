# SPDX-License-Identifier: MIT
"""A process that measures for the bench, asked and answered through pipes.

marshal, because it is compiled into the interpreter: one of the workers has to stay small.
"""

import marshal
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


class Worker:
    """Runs in the repository with the environment that PAM modules find in a daemon: hardly any."""

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], **(environment or {})},
        )

    def ask(self, *question: Any) -> Any:
        """What the worker's function returns for these arguments."""
        self.begin(*question)
        return self.answer()

    def begin(self, *question: Any) -> None:
        """Calls the worker's function, and does not wait for its answer."""
        assert self._process.stdin is not None
        marshal.dump(question, self._process.stdin)
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        return marshal.load(self._process.stdout)
