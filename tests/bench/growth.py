# SPDX-License-Identifier: MIT
"""What a login costs as more users are enrolled."""

from collections.abc import Callable

from tests.bench import descriptors, rounds
from tests.bench.host import BenchHost
from tests.bench.programs import Program, start_launcher
from tests.bench.rounds import Candidate, Measured, Sample
from tests.bench.steps import CODE_PROMPT, OATH, OURS, Step, oath_prompt
from tests.bench.variants import Variants
from tests.host.programs import ACCEPTED, ASK, GATE, RECORDS, STATE, VERIFY

FEW, MANY = 10, 50_000
FIRST_UID = 1_000_000
ASKS, RIGHT = "gate: ask", "verify: correct code"
GROWING = (ASKS, RIGHT, OURS)
SECTION = f"{FEW} enrolled users, and {MANY:,}"
MARKS = STATE / "enforced"


def name_of(candidate: str, number: int) -> str:
    return f"{candidate}, {number:,}"


def population() -> Variants:
    """All that is kept of so many users: a mark and a record for each."""
    users = Variants(MARKS, RECORDS)
    for number in (MANY, FEW):
        users.add(str(number))
        for uid in range(FIRST_UID, FIRST_UID + number):
            (MARKS / str(uid)).touch(0o600)
            (RECORDS / str(uid)).write_bytes(b"pam-totp attempts 1\n".ljust(4096))
    return users


def measure(host: BenchHost) -> list[Measured]:
    """Each candidate with few and with many users, in turns."""
    users, user, programs = population(), host.enrolled, start_launcher()
    application = descriptors.application(descriptors.OTHERS)
    oath = Step(application, "oath", [oath_prompt(user)], user)

    def oath_with(others: int) -> Callable[[], Sample]:
        """The long file before each sample would cool the caches of those that do not read it."""

        def run() -> Sample:
            user.others = others
            sample = oath.run()
            user.others = FEW
            return sample

        return run

    runs = {
        ASKS: Program(programs, ASKS, [GATE], user, ASK).run,
        RIGHT: Program(programs, RIGHT, [VERIFY], user, ACCEPTED, has_mark=True).run,
        OURS: Step(application, "pam_totp", [CODE_PROMPT], user).run,
    }
    candidates = []
    for number in (FEW, MANY):
        for name, run in [*runs.items(), (OATH, oath_with(number))]:
            run_there = users.within(str(number), run)
            base = name_of(name, FEW)
            candidates.append(Candidate(SECTION, name_of(name, number), base, run_there))
    candidates.sort(key=lambda each: each.base)
    measured = rounds.run(candidates, at_least=60, at_most=150, stable=0.02)
    users.become(str(FEW))
    return measured
