# SPDX-License-Identifier: MIT
"""Section 1: gate and verify as whole processes, beside an interpreter that does nothing."""

import statistics
from dataclasses import dataclass

from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Sample, UnexpectedResult
from tests.bench.worker import Worker
from tests.host.accounts import User

SECTION = "a whole process"
BARE = "bare interpreter (python3 -IS -c pass)"
GATE_ENROLLED, GATE_NEWCOMER = "gate: enrolled, ask", "gate: not enrolled, skip"
VERIFY_RIGHT, VERIFY_WRONG = "verify: correct code", "verify: incorrect code"
OURS = (GATE_ENROLLED, GATE_NEWCOMER, VERIFY_RIGHT, VERIFY_WRONG)

PEAKS_EACH = 9
GATE, VERIFY = "/usr/libexec/pam-totp/gate", "/usr/libexec/pam-totp/verify"


@dataclass
class Program:
    """One command line, run by the worker as pam_exec would run it, and its exit code checked."""

    host: BenchHost
    worker: Worker
    name: str
    argv: list[str]
    user: User
    exit_code: int
    incorrect_code: bool = False

    def run(self) -> Sample:
        wall, cpu, _ = self.measure(by_fork=False)
        return Sample(wall, cpu)

    def peak_kib(self) -> int:
        return self.measure(by_fork=True)[2]

    def measure(self, by_fork: bool) -> tuple[float, float, int]:
        self.host.forget_codes()
        code = self.host.incorrect_code if self.incorrect_code else self.host.credential.code()
        environment = {
            "PAM_RHOST": "192.0.2.1",
            "PAM_SERVICE": "sshd",
            "PAM_TTY": "ssh",
            "PAM_TYPE": "auth",
            "PAM_USER": self.user.name,
        }
        wall, cpu, peak, exit_code = self.worker.ask(self.argv, environment, code.encode(), by_fork)
        if exit_code != self.exit_code:
            raise UnexpectedResult(f"{self.name} ended with {exit_code}, not {self.exit_code}")
        return wall, cpu, peak


def all_programs(host: BenchHost) -> list[Program]:
    worker = Worker("/usr/bin/python3", "-IS", "tests/bench/launcher.py")
    bare = ["/usr/bin/python3", "-IS", "-c", "pass"]
    return [
        Program(host, worker, BARE, bare, host.enrolled, 0),
        Program(host, worker, GATE_ENROLLED, [GATE], host.enrolled, 1),
        Program(host, worker, GATE_NEWCOMER, [GATE], host.newcomer, 0),
        Program(host, worker, VERIFY_RIGHT, [VERIFY], host.enrolled, 0),
        Program(host, worker, VERIFY_WRONG, [VERIFY], host.enrolled, 1, incorrect_code=True),
    ]


def programs(host: BenchHost) -> list[Candidate]:
    return [Candidate(SECTION, each.name, BARE, each.run) for each in all_programs(host)]


def peak_memory(host: BenchHost) -> dict[str, float]:
    """The median peak of each program's memory in MiB, by name."""
    everyone = all_programs(host)
    smallest = Program(host, everyone[0].worker, "true", ["/bin/true"], host.enrolled, 0)
    peaks = {
        each.name: statistics.median(each.peak_kib() for _ in range(PEAKS_EACH)) / 1024
        for each in [*everyone, smallest]
    }
    if peaks.pop("true") > 0.9 * peaks[BARE]:
        raise UnexpectedResult("the worker holds too much to measure the memory of a program")
    return peaks
