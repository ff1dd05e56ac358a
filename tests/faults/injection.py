# SPDX-License-Identifier: MIT
"""Makes one system call of an installed program fail, or kills the program there, with strace.

A clean run under strace tells which calls there are; a fault is then "the Nth call of this name".
With --seccomp-bpf strace stops the program at the calls of that name only, 15 ms a run; but then
it cannot send a signal there. With -D the test stays the program's parent, as an application is.
"""

import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ERRORS = ("EIO", "ENOSPC", "EACCES", "EMFILE", "ENOMEM", "EINTR")
NOT_THERE = "ENOENT"
KILL = "SIGKILL"
SECONDS_TO_END = 30

_CALL = re.compile(r"(\d+) +([a-z_0-9]+)\(")
# A process that becomes a program of another's, such as a gateway, and not one of ours or a test's.
_TESTS = re.escape(str(Path(__file__).resolve().parents[1]))
_BECOMES_ANOTHER = re.compile(
    rf"execve\(\"(?!/usr/(?:libexec/pam-totp/|bin/python3|bin/pam-totp)|{_TESTS}/)"
)


@dataclass(frozen=True)
class Call:
    """The `occurrence`th call of its name (from 1); `line` is how a clean run made it, every
    descriptor with its path; `loading`: the interpreter starts, or loads code."""

    name: str
    occurrence: int
    line: str
    loading: bool


@dataclass(frozen=True)
class Error:
    """A call, and what happens in its place: an error's name, or SIGKILL. lasting: in place of
    every later call of that name, too."""

    call: Call
    kind: str
    lasting: bool = False

    @property
    def option(self) -> str:
        what = f"signal={KILL}" if self.kind == KILL else f"error={self.kind}"
        on = "+" if self.lasting else ""
        return f"inject={self.call.name}:{what}:when={self.call.occurrence}{on}"

    def __str__(self) -> str:
        since = " (and all later ones)" if self.lasting else ""
        call = f"{self.call.name} {self.call.occurrence}{since}: {self.call.line}"
        return f"{self.kind} in place of {call}"


@dataclass(frozen=True)
class Ended:
    """How a run ended: `status` as subprocess has it, all that was printed, and whether the fault
    came to pass."""

    status: int
    output: str
    injected: bool = False


def run(argv: Sequence[str], variables: dict[str, str], typed: bytes = b"") -> Ended:
    """The program as pam_exec starts it: these variables and no other."""
    done = subprocess.run(
        argv,
        input=typed,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS_TO_END,
    )
    return Ended(done.returncode, done.stdout.decode("utf-8", "replace"))


def run_with(fault: Error, program: str, variables: dict[str, str], typed: bytes = b"") -> Ended:
    """The same with a fault."""
    trace = _trace_file()
    options = ["-D", "-qq", "-f", "-o", trace, "-e", f"trace={fault.call.name}"]
    if fault.kind != KILL:
        options.append("--seccomp-bpf")
    ended = run(["/usr/bin/strace", *options, "-e", fault.option, program], variables, typed)
    # Of several processes it may be another one that is killed.
    sign = f"+++ killed by {KILL} +++" if fault.kind == KILL else "(INJECTED)"
    with open(trace, encoding="utf-8", errors="replace") as file:
        return Ended(ended.status, ended.output, sign in file.read())


def calls_of(program: str, variables: dict[str, str], typed: bytes = b"") -> list[Call]:
    """Every system call of one clean run, in order, without the execve that begins it."""
    trace = _trace_file()
    run(["/usr/bin/strace", "-D", "-qq", "-y", "-f", "-o", trace, program], variables, typed)
    return calls_in(trace)


def calls_in(trace: str) -> list[Call]:
    """The same, from the trace that `strace -qq -y -f` wrote; each process counts for itself. Not
    those of programs that are not ours."""
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    if " execve(" in lines[0]:  # strace's own; not there in a trace of other calls alone
        del lines[0]
    calls: list[Call] = []
    seen: Counter[tuple[str, str]] = Counter()
    starting, of_others = True, set()
    for line in lines:
        found = _CALL.match(line)
        if found and found[1] not in of_others:
            if _BECOMES_ANOTHER.search(line):
                of_others.add(found[1])
            starting = starting and "/etc/pam-totp" not in line
            loading = starting or "/usr/lib/" in line
            seen[found[1], found[2]] += 1
            number = seen[found[1], found[2]]
            calls.append(Call(found[2], number, line.split(maxsplit=1)[1], loading))
    return calls


def always_made(runs: Sequence[list[Call]]) -> list[Call]:
    """The calls of the first run that every other one had too: allocations may differ by one."""
    counts = [Counter(call.name for call in calls) for calls in runs]
    return [
        call for call in runs[0] if all(count[call.name] >= call.occurrence for count in counts)
    ]


def _trace_file() -> str:
    return f"/tmp/trace-{os.getpid()}-{threading.get_ident()}"
