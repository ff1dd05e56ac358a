# SPDX-License-Identifier: MIT
"""A look at what each of many users has, in a process that can be killed.

- A home that never answers, as of a server that is gone or of a file system that a user's own
  program makes, MUST hold up no more than the look at it: nothing but SIGKILL ends a process that
  waits for one.
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

MAX_SECONDS = 5
NO_ANSWER = object()
NO_ANSWER_WORDS = f"no answer within {MAX_SECONDS} seconds"
_SECONDS_TO_END = 1.0

Item = TypeVar("Item")


class LookFailed(Exception):
    """A look ended with an error of another kind than those that it tells itself."""


def each_in_time(items: Sequence[Item], look: Callable[[Item], Any]) -> Iterator[tuple[Item, Any]]:
    """Each with what `look` says of it, as JSON has it; NO_ANSWER where that takes too long. Raises
    LookFailed."""
    at = 0
    while at < len(items):
        process, answers = _start(items[at:], look)
        try:
            for line in _lines(answers):
                item, at = items[at], at + 1
                yield item, NO_ANSWER if line is None else _said(line)
                if at == len(items):
                    break
        finally:
            os.close(answers)
            _end(process)


def _start(items: Sequence[Item], look: Callable[[Item], Any]) -> tuple[int, int]:
    """A process that looks at them in their order, and where it says what it has seen."""
    read, write = os.pipe()
    process = os.fork()
    if process:
        os.close(write)
        return process, read
    with contextlib.suppress(BaseException):  # of this process nothing else is to be heard
        for item in items:
            try:
                answer = {"said": look(item)}
            except Exception as failure:
                answer = {"failed": f"{type(failure).__name__}: {failure}"}
            os.write(write, json.dumps(answer).encode() + b"\n")
    os._exit(0)


def _lines(answers: int) -> Iterator[bytes | None]:
    """What the process says, by lines; None, and no more, once it does not."""
    rest = b""
    while True:
        *whole, rest = rest.split(b"\n")
        yield from whole
        more = os.read(answers, 65536) if select.select([answers], [], [], MAX_SECONDS)[0] else b""
        if not more:
            yield None
            return
        rest += more


def _said(line: bytes) -> Any:
    answer = json.loads(line)
    if "failed" in answer:
        raise LookFailed(answer["failed"])
    return answer["said"]


def _end(process: int) -> None:
    """Ends it, if it has not ended. Where the caller had us ignore SIGCHLD, nobody waits for it,
    and its number may be another's."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        os.kill(process, signal.SIGKILL)
        deadline = time.monotonic() + _SECONDS_TO_END
        while not os.waitpid(process, os.WNOHANG)[0] and time.monotonic() < deadline:
            time.sleep(0.001)
