# SPDX-License-Identifier: MIT
"""A process that looks at items in their order and says what it sees, a few answers at a time.

- What was done and not told is done again by the next process, so a look that changes something
  MUST be told AT_ONCE.
"""

import contextlib
import marshal
import mmap
import os
import pwd
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

MAX_SECONDS = 5
MAX_CHANGE_SECONDS = 20.0  # what a user has: many more than a slow disk takes
UNCHANGED_WORDS = f"no answer within {MAX_CHANGE_SECONDS:.0f} seconds"
NO_ANSWER = object()
NO_ANSWER_WORDS = f"no answer within {MAX_SECONDS} seconds"
CHUNK = 64  # so many answers are told at once, as each write wakes the reader
MAX_SECONDS_UNTOLD, AT_ONCE = 0.05, 0.0
_SECONDS_TO_END = 1.0
_SAID, _FAILED, _SILENT = range(3)
_LENGTH_BYTES = 4
_read_ends = set[int]()  # of all processes: one that outlives this program has nobody to wait for


def silent_home(account: pwd.struct_passwd) -> str:
    """That a look at this home got no answer."""
    return f"the home {account.pw_dir!a} gives {NO_ANSWER_WORDS}"


class LookFailed(Exception):
    """A look ended with an error of another kind than those that it tells itself, or there is no
    answer as its process has died."""


class Stop:
    """Tells a process to do no more; its answers say what it has done."""

    def __init__(self) -> None:
        self._told = mmap.mmap(-1, 1)

    def tell(self) -> None:
        self._told[0] = 1

    def is_told(self) -> bool:
        return self._told[0] == 1


class Process:
    """It and what it has said. A look that takes too long ends it, and another one goes on."""

    def __init__(
        self,
        items: Sequence[Any],
        look: Callable[[Any], Any],
        max_seconds: float = MAX_SECONDS,
        max_untold: float = MAX_SECONDS_UNTOLD,
    ) -> None:
        self._items, self._look = items, look
        self._max_seconds, self._max_untold = max_seconds, max_untold
        self._said = deque[tuple[int, Any]]()
        self._told = 0  # how many items have an answer
        self._silent = set[int]()  # which of them get none
        self._current = mmap.mmap(-1, 8)  # written by the process: at which item it looks
        self._number, self._pipe = 0, -1

    def start(self) -> None:
        """Lets it look at what has no answer yet."""
        self._rest = b""
        self._pipe, write = os.pipe()
        _read_ends.add(self._pipe)
        self._number = os.fork()
        if not self._number:
            self._look_at_all(write)
        os.close(write)

    def next_answer(self) -> Any:
        """Of the next item, or NO_ANSWER. Raises LookFailed."""
        while not self._said:
            self._receive()
        kind, answer = self._said.popleft()
        if kind == _FAILED:
            raise LookFailed(answer)
        return answer if kind == _SAID else NO_ANSWER

    def end(self) -> None:
        """Ends it, if it has not ended. Where the caller had us ignore SIGCHLD, nobody waits for
        it, and its number may be another's."""
        if self._pipe < 0:
            return
        os.close(self._pipe)
        _read_ends.discard(self._pipe)
        self._pipe = -1
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            if os.waitpid(self._number, os.WNOHANG)[0]:
                return
            os.kill(self._number, signal.SIGKILL)
            deadline = time.monotonic() + _SECONDS_TO_END
            while not os.waitpid(self._number, os.WNOHANG)[0] and time.monotonic() < deadline:
                time.sleep(0.001)

    def _receive(self) -> None:
        wait = self._max_seconds + self._max_untold
        if not select.select([self._pipe], [], [], wait)[0]:
            self._silent.add(max(self._told, int.from_bytes(self._current[:], "little")))
            self.end()
            self.start()
            return
        more = os.read(self._pipe, 1 << 16)
        if not more:
            raise LookFailed("a process of this command was ended before it had seen all users")
        self._rest += more
        while len(self._rest) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._rest[:_LENGTH_BYTES], "little")
            if len(self._rest) < end:
                return
            answers = marshal.loads(self._rest[_LENGTH_BYTES:end])
            self._rest = self._rest[end:]
            self._said += answers
            self._told += len(answers)

    def _look_at_all(self, write: int) -> NoReturn:
        with contextlib.suppress(BaseException):  # of this process nothing else is to be heard
            for each in _read_ends:
                os.close(each)
            _close_output()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted ends this one, too
            answers, told_at = list[tuple[int, Any]](), time.monotonic()
            for at in range(self._told, len(self._items)):
                self._current[:] = at.to_bytes(8, "little")
                answers.append((_SILENT, None) if at in self._silent else self._answer(at))
                now = time.monotonic()
                is_last = at + 1 == len(self._items)
                if len(answers) == CHUNK or now - told_at >= self._max_untold or is_last:
                    _tell(write, answers)
                    answers, told_at = [], now
        os._exit(0)

    def _answer(self, at: int) -> tuple[int, Any]:
        try:
            return _SAID, self._look(self._items[at])
        except Exception as failure:
            return _FAILED, f"{type(failure).__name__}: {failure}"


def _close_output() -> None:
    """Where a home keeps this process even from being killed, nobody waits for its output too."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)


def _tell(write: int, answers: list[tuple[int, Any]]) -> None:
    said = marshal.dumps(answers)
    message = len(said).to_bytes(_LENGTH_BYTES, "little") + said
    while message:
        message = message[os.write(write, message) :]
