# SPDX-License-Identifier: MIT
"""An application that asks PAM: a process of its own, whose children gate and verify are.

A code that is sent is bound to that process, so a test of two logins needs two of them.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from tests.commands.commands import Answer
from tests.host.accounts import User
from tests.host.programs import GATE, INTERPRETED, LOGIN, VERIFY

PROGRAM = """
import json, subprocess, sys
for line in sys.stdin:
    command, typed, variables, times = json.loads(line)
    pipe = subprocess.PIPE
    many = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=variables)
        for _ in range(times)
    ]
    for each in many:
        each.stdin.write(typed.encode())
    said = [[text.decode() for text in each.communicate()] for each in many]
    print(json.dumps([[each.returncode, *texts] for each, texts in zip(many, said)]), flush=True)
"""


class Application:
    """One login at a service: the gate, and then the verifier, as often as is tried."""

    def __init__(self, user: User, **variables: str) -> None:
        self._user = user
        self._variables = LOGIN | {"PAM_USER": user.name} | variables
        self._process = subprocess.Popen(
            ["/usr/bin/python3", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds = 0.0  # of the last run

    def __enter__(self) -> "Application":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def gate(self, password: str | None = None, **variables: str) -> Answer:
        """`password`: what an earlier module took; the user's own."""
        typed = self._user.password if password is None else password
        return self._run(GATE, typed, variables)[0]

    def verify(self, typed: str, **variables: str) -> Answer:
        return self._run(VERIFY, typed, variables)[0]

    def verify_at_once(self, typed: str, times: int) -> list[Answer]:
        """As many verifiers of this one login."""
        return self._run(VERIFY, typed, {}, times)

    def _run(
        self, program: str, typed: str, variables: dict[str, str], times: int = 1
    ) -> list[Answer]:
        assert self._process.stdin and self._process.stdout
        began = time.monotonic()
        # The launcher would take away the variables of a clock of its own.
        command = INTERPRETED[program] if "FAKETIME" in variables else [program]
        line = json.dumps([command, typed, self._variables | variables, times])
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        self.seconds = time.monotonic() - began
        return [Answer(*each) for each in answers]


@contextmanager
def login(user: User, **variables: str) -> Iterator[Application]:
    """A login that has come as far as the prompt."""
    with Application(user, **variables) as application:
        application.gate()
        yield application
