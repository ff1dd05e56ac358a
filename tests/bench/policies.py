# SPDX-License-Identifier: MIT
"""gate and verify under rules."""

import time
from pathlib import Path

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.bench import rounds
from tests.bench.host import BenchHost
from tests.bench.programs import BARE, INTERPRETER, Program, start_launcher
from tests.bench.rounds import Candidate, Measured
from tests.bench.variants import Variants
from tests.host.accounts import User
from tests.host.programs import ACCEPTED, ASK, CONFIGURATION, GATE, RECORDS, STATE, VERIFY

NONE, FEW, MANY = 0, 100, 10_000
GROUPS = 500
FIRST_GID = 1_000_000
SECTION = f"rules, and a user in {GROUPS} groups"
GATE_NAME, VERIFY_NAME = "gate: ask", "verify: correct code"


def name_of(program: str, rules: int) -> str:
    return f"{program}, {rules:,} rules"


def policy_of(rules: int) -> str:
    """A hundred rules of every kind, and as many more as asked for that name people; the last one
    alone matches."""
    if rules == NONE:
        return "# the defaults\n"
    kinds = (
        "user: [service{0}, robot{0}], code: never",
        "group: bench{0}x, service: [sshd, login], code: never",
        "user: 'admin{0}-*', from: [10.{0}.0.0/16, 192.168.0.0/24], code: never",
        "service: sshd, publickey: yes, from: 198.51.100.0/24, code: never",
    )
    lines = ["- {" + kinds[number % 4].format(number) + "}" for number in range(FEW - 1)]
    lines += [f"- {{user: person{number}, code: never}}" for number in range(FEW, rules)]
    return "\n".join(["rules:", *lines, "- {group: bench499, code: required}", ""])


def measure(host: BenchHost) -> list[Measured]:
    add_groups(host.enrolled.user)
    settings = settings_of_each_policy()
    worker, user = start_launcher(), host.enrolled
    bare = Program(worker, BARE, INTERPRETER, user, 0)
    gate = Program(worker, GATE_NAME, [GATE], user, ASK)
    verify = Program(worker, VERIFY_NAME, [VERIFY], user, ACCEPTED, has_mark=True)
    candidates = [Candidate(SECTION, BARE, BARE, bare.run)]
    for program in (gate, verify):
        for rules in (NONE, FEW, MANY):
            run = settings.within(str(rules), program.run)
            candidates.append(Candidate(SECTION, name_of(program.name, rules), BARE, run))
    measured = rounds.run(candidates, at_least=100, at_most=200, stable=0.02)
    settings.become(str(NONE))
    return measured


def settings_of_each_policy() -> Variants:
    # A mark holds for one state of the settings.
    marks = [RECORDS / "certain", RECORDS / "certain.away"]
    settings = Variants(CONFIGURATION.parent, STATE / "settings", *marks)
    for rules in (NONE, FEW, MANY):
        settings.add(str(rules))
        CONFIGURATION.write_text(policy_of(rules), encoding="ascii")
    time.sleep(UNSETTLED_SECONDS + 0.1)  # until then no login keeps a snapshot of what it read
    return settings


def add_groups(user: User) -> None:
    with Path("/etc/group").open("a", encoding="ascii") as file:
        for number in range(GROUPS):
            file.write(f"bench{number}:x:{FIRST_GID + number}:{user.name}\n")
        for number in range(FEW):
            file.write(f"bench{number}x:x:{FIRST_GID + GROUPS + number}:\n")
