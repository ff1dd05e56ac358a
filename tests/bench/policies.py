# SPDX-License-Identifier: MIT
"""Section 4: gate under a policy, and what a login costs as more users are enrolled."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.bench import rounds
from tests.bench.host import BenchHost
from tests.bench.programs import BARE, GATE, VERIFY, Program
from tests.bench.rounds import Candidate, Measured, Sample
from tests.bench.steps import OATH, OURS, Step, oath_prompt
from tests.bench.worker import Worker

CONFIGURATION = Path("/etc/pam-totp/config.yaml")
RULES = (100, 10_000)
GROUPS = 500
FEW, MANY = 10, 50_000
FIRST_UID = 1_000_000
STATE, RECORDS = Path("/var/lib/pam-totp"), Path("/run/pam-totp")
ASK, RIGHT = "gate: ask", "verify: correct code"
GROWING = (ASK, RIGHT, OURS)
GROWTH = f"{FEW} enrolled users, and {MANY:,}"


def section_of(rules: int) -> str:
    return f"gate with {rules:,} rules, user in {GROUPS} groups"


def policy_of(rules: int) -> str:
    """A hundred rules of every kind, and as many more as asked for that name people; the last one
    alone matches."""
    kinds = (
        "user: [service{0}, robot{0}], code: never",
        "group: bench{0}x, service: [sshd, login], code: never",
        "user: 'admin{0}-*', from: [10.{0}.0.0/16, 192.168.0.0/24], code: never",
        "service: sshd, publickey: yes, from: 198.51.100.0/24, code: never",
    )
    lines = ["- {" + kinds[number % 4].format(number) + "}" for number in range(RULES[0] - 1)]
    lines += [f"- {{user: person{number}, code: never}}" for number in range(RULES[0], rules)]
    return "\n".join(["rules:", *lines, "- {group: bench499, code: required}", ""])


def policies(host: BenchHost) -> list[Measured]:
    """Each policy beside its own bare interpreter: settings cannot change between two samples."""
    with Path("/etc/group").open("a", encoding="ascii") as file:
        for number in range(GROUPS):
            file.write(f"bench{number}:x:{FIRST_UID + number}:{host.enrolled.name}\n")
        for number in range(100):
            file.write(f"bench{number}x:x:{FIRST_UID + GROUPS + number}:\n")
    measured = []
    worker = Worker("/usr/bin/python3", "-IS", "tests/bench/launcher.py")
    for number in RULES:
        CONFIGURATION.write_text(policy_of(number), encoding="ascii")
        time.sleep(UNSETTLED_SECONDS + 0.1)
        section = section_of(number)
        candidates = [
            Program(
                host, worker, BARE, ["/usr/bin/python3", "-IS", "-c", "pass"], host.enrolled, 0
            ),
            Program(host, worker, ASK, [GATE], host.enrolled, 1),
        ]
        measured += rounds.run(
            [Candidate(section, each.name, BARE, each.run) for each in candidates],
            at_least=60,
            at_most=200,
            stable=0.02,
        )
    # A file that is gone leaves its snapshot in force.
    CONFIGURATION.write_text("# the defaults\n", encoding="ascii")
    return measured


class Population:
    """The same host with FEW enrolled users and with MANY: all that is kept of a user is there."""

    def __init__(self) -> None:
        self._now = FEW
        for number, (marks, records) in {
            FEW: self._folders(FEW),
            MANY: self._folders(MANY),
        }.items():
            for folder in (marks, records):
                folder.mkdir(mode=0o700)
            for uid in range(FIRST_UID, FIRST_UID + number):
                (marks / str(uid)).touch(0o600)
                (records / str(uid)).write_bytes(b"pam-totp attempts 1\n".ljust(4096))
        for folder in (STATE / "enforced", RECORDS):
            subprocess.run(["rm", "-rf", str(folder)], check=True)
        for folder, source in zip((STATE / "enforced", RECORDS), self._folders(FEW), strict=True):
            source.rename(folder)

    def _folders(self, number: int) -> tuple[Path, Path]:
        return STATE / f"marks-{number}", Path(f"/run/pam-totp-{number}")

    def become(self, number: int) -> None:
        if self._now != number:
            for folder, kept in zip(
                (STATE / "enforced", RECORDS), self._folders(self._now), strict=True
            ):
                folder.rename(kept)
            for folder, kept in zip(
                (STATE / "enforced", RECORDS), self._folders(number), strict=True
            ):
                kept.rename(folder)
            self._now = number


def name_of(candidate: str, number: int) -> str:
    return f"{candidate}, {number:,}"


def growth(host: BenchHost) -> list[Measured]:
    """Each candidate with few and with many users, in turns."""
    population = Population()
    programs = Worker("/usr/bin/python3", "-IS", "tests/bench/launcher.py")
    application = Worker("/usr/bin/python3", "-m", "tests.bench.application")
    runs: dict[str, Callable[[], Sample]] = {
        ASK: Program(host, programs, "gate", [GATE], host.enrolled, 1).run,
        RIGHT: Program(host, programs, "verify", [VERIFY], host.enrolled, 0).run,
        OURS: Step(host, application, "pam_totp", ["Verification code: "]).run,
        OATH: Step(host, application, "oath", [oath_prompt(host)]).run,
    }
    candidates = []
    for name, run in runs.items():
        for number in (FEW, MANY):

            def run_with(
                number: int = number, run: Callable[[], Sample] = run, name: str = name
            ) -> Sample:
                population.become(number)
                # Writing it before each sample would cool the caches of those that do not read it.
                host.other_oath_users = number if name == OATH else FEW
                return run()

            base = name_of(name, FEW)
            candidates.append(Candidate(GROWTH, name_of(name, number), base, run_with))
    measured = rounds.run(candidates, at_least=60, at_most=150, stable=0.02)
    population.become(FEW)
    return measured
