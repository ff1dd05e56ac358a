# SPDX-License-Identifier: MIT
"""gate and verify as whole processes, beside an interpreter that does nothing."""

import statistics
from dataclasses import dataclass

from tests.bench import rounds
from tests.bench.accounts import Account
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.bench.worker import Worker
from tests.host.programs import ACCEPTED, ASK, GATE, NO_CODE_NEEDED, REFUSED, VERIFY

SECTION = "a whole process"
BARE = "bare interpreter (python3 -IS -c pass)"
GATE_ENROLLED, GATE_NEWCOMER = "gate: enrolled, ask", "gate: not enrolled, skip"
GATE_CERTAIN = "gate: certain to be asked"
VERIFY_RIGHT, VERIFY_WRONG = "verify: correct code", "verify: incorrect code"
OURS = (GATE_ENROLLED, GATE_NEWCOMER, VERIFY_RIGHT, VERIFY_WRONG)
INTERPRETER = ["/usr/bin/python3", "-IS", "-c", "pass"]
PEAKS_EACH = 9


@dataclass
class Program:
    """One command line, run by the worker as pam_exec would run it, and its exit code checked."""

    worker: Worker
    name: str
    argv: list[str]
    account: Account
    exit_code: int
    code: str = ""  # instead of the one of now
    has_mark: bool = False  # of a login before, which spares the gate an interpreter

    def run(self) -> Sample:
        wall, cpu, _ = self.measure(by_fork=False)
        return Sample(wall, cpu)

    def peak_kib(self) -> int:
        return self.measure(by_fork=True)[2]

    def measure(self, by_fork: bool) -> tuple[float, float, int]:
        self.account.forget_codes()
        self.account.put_mark(self.has_mark)
        code = self.code or self.account.credential.code()
        environment = {
            "PAM_RHOST": "192.0.2.1",
            "PAM_SERVICE": "sshd",
            "PAM_TTY": "ssh",
            "PAM_TYPE": "auth",
            "PAM_USER": self.account.user.name,
        }
        wall, cpu, peak, exit_code = self.worker.ask(self.argv, environment, code.encode(), by_fork)
        if exit_code != self.exit_code:
            raise UnexpectedResult(f"{self.name} ended with {exit_code}, not {self.exit_code}")
        return wall, cpu, peak


def start_launcher() -> Worker:
    return Worker("/usr/bin/python3", "-IS", "tests/bench/launcher.py")


def all_programs(host: BenchHost) -> list[Program]:
    worker, user = start_launcher(), host.enrolled
    incorrect = user.credential.incorrect_code()
    return [
        Program(worker, BARE, INTERPRETER, user, 0),
        Program(worker, GATE_ENROLLED, [GATE], user, ASK),
        Program(worker, GATE_CERTAIN, [GATE], user, ASK, has_mark=True),
        Program(worker, GATE_NEWCOMER, [GATE], host.newcomer, NO_CODE_NEEDED),
        Program(worker, VERIFY_RIGHT, [VERIFY], user, ACCEPTED, has_mark=True),
        Program(worker, VERIFY_WRONG, [VERIFY], user, REFUSED, incorrect),
    ]


def measure(host: BenchHost) -> list[Measured]:
    candidates = [Candidate(SECTION, each.name, BARE, each.run) for each in all_programs(host)]
    return rounds.run(candidates, at_least=100, at_most=300, stable=0.02)


def peak_memory(host: BenchHost) -> dict[str, float]:
    """The median peak of each program's memory in MiB, by name."""
    everyone = all_programs(host)
    smallest = Program(everyone[0].worker, "true", ["/bin/true"], host.enrolled, 0)
    peaks = {
        each.name: statistics.median(each.peak_kib() for _ in range(PEAKS_EACH)) / 1024
        for each in [*everyone, smallest]
    }
    if peaks.pop("true") > 0.9 * peaks[BARE]:
        raise UnexpectedResult("the worker holds too much to measure the memory of a program")
    return peaks
