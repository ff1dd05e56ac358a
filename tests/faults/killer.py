# SPDX-License-Identifier: MIT
"""Kills a command that saves a user's files: in place of each system call that changes one, in the
order of the calls; then of others between those, and by the clock, as dice have it."""

import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults import injection
from tests.faults.command import Dialogue
from tests.faults.injection import KILL, Call, Error
from tests.faults.subject import Subject
from tests.host.saved_files import called, file_of, files_of

TRACE = "/tmp/trace-of-a-command"
# The calls that save a file, from its temporary name to its own, and that say so.
SAVES = "openat,write,close,fsync,rename,renameat,renameat2,unlinkat"
CHANGES = re.compile(r"write|fsync|rename|unlinkat|openat\(.*O_CREAT")
SAID = re.compile(r"write\(1<")
_TRIED = re.compile(r"(tried)\d")
_NUMBERS = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")


@dataclass(frozen=True)
class Moment:
    """Before a call: the files that are there for the moment (sorted; those that try the place have
    one name), and the names that have new files by then."""

    call: Call
    temporary: tuple[str, ...]
    replaced: frozenset[str]

    def __str__(self) -> str:
        return f"in place of {self.call.name} {self.call.occurrence}: {self.call.line}"

    @property
    def changes(self) -> bool:
        """Whether the call changes a file, or says that it was changed."""
        return CHANGES.match(self.call.line) is not None

    @property
    def state(self) -> tuple[str, str]:
        return " ".join(self.temporary), " ".join(sorted(self.replaced))


# A moment, or seconds.
When = Moment | float


class Killer:
    """Runs a command and kills it. moments: all, from its first temporary file until it has said
    what was saved."""

    def __init__(self, run: Callable[..., Dialogue], subject: Subject) -> None:
        self._run, self._subject = run, subject
        self._seconds = min(seconds_of(run, subject) for _ in range(2))
        options = ["-qq", "-y", "-f", "-o", TRACE, "-e", f"trace={SAVES}"]
        ended = run(subject, ["/usr/bin/strace", *options])
        assert ended.status == 0, ended.shown
        self.moments = list(moments_of(injection.calls_in(TRACE)))

    def plan(self, kills: int, dice: random.Random) -> list[When]:
        """So many kills. In place of each call that changes a file there is one whatever the dice
        say: what must be reached is never left to them."""
        others = [moment for moment in self.moments if not moment.changes]
        dice.shuffle(others)
        between = itertools.cycle(others)
        plan: list[When] = [moment for moment in self.moments if moment.changes]
        while len(plan) < kills:
            plan += [dice.uniform(0.001, self._seconds), next(between)]
        return plan

    def __call__(self, when: When) -> Dialogue:
        """Once. By the clock it may come too late."""
        if isinstance(when, float):
            return self._run(self._subject, kill_after=when)
        fault = Error(when.call, KILL)
        # Without -f: the count is of each process, and what checks the password must not be killed.
        options = ["-qq", "-y", "-o", TRACE, "-e", f"trace={fault.call.name}", "-e", fault.option]
        ended = self._run(self._subject, ["/usr/bin/strace", *options])
        assert ended.killed, f"nothing was killed: no {fault.call}"
        *_, last, _died = Path(TRACE).read_text(encoding="utf-8", errors="replace").splitlines()
        assert arguments(last) == arguments(fault.call.line), f"killed at {last}"
        return ended


def moments_of(calls: list[Call]) -> Iterator[Moment]:
    """Those of a clean run."""
    first = next(number for number, call in enumerate(calls) if is_temporary(file_of(call.line)))
    saved = max(number for number, call in enumerate(calls) if call.name == "fsync")
    said = [number for number, call in enumerate(calls) if SAID.match(call.line)]
    last = [number for number in said if number > saved][1]  # the call after all was shown
    temporary: Counter[str] = Counter()
    replaced: set[str] = set()
    for number, call in enumerate(calls[first : last + 1], first):
        if "/.config" not in call.line and not (number > saved and SAID.match(call.line)):
            continue
        yield Moment(call, tuple(sorted(temporary.elements())), frozenset(replaced))
        files = files_of(call.line)
        if "O_CREAT" in call.line:
            temporary[kind(files[0])] += 1
        if call.name.startswith(("rename", "unlink")):
            temporary[kind(files[0])] -= 1
        if call.name.startswith("rename") and is_temporary(files[1]):
            temporary[kind(files[1])] += 1
        elif call.name.startswith("rename"):
            replaced.add(files[1])


def is_temporary(file: str) -> bool:
    return ".new" in file


def kind(file: str) -> str:
    """Which of the files that try the place is removed first is not in our hands."""
    return _TRIED.sub(r"\1", file)


def temporary_files(folder: Path) -> "Counter[str]":
    """The temporary files that are there, called as in Moment."""
    names = [called(path.name) for path in folder.iterdir()]
    return Counter(kind(name) for name in names if is_temporary(name))


def arguments(line: str) -> str:
    """Of a call, without the numbers and names that differ from run to run, and its result."""
    return _NUMBERS.sub("", line.rpartition(" = ")[0]).rstrip()


def seconds_of(run: Callable[..., Dialogue], subject: Subject) -> float:
    started = time.monotonic()
    assert run(subject).status == 0
    return time.monotonic() - started
