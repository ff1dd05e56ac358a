# SPDX-License-Identifier: MIT
"""verify and gate of a host in a fleet, beside those of a host with secrets of its own.

Both are this host, with the same program: the second one's settings and records are mounted over
those of the first, for its worker alone, so it has no agent.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.bench import rounds
from tests.bench.accounts import Account
from tests.bench.host import BenchHost
from tests.bench.programs import Program, start_launcher
from tests.bench.rounds import Candidate, Measured, Sample
from tests.bench.worker import Worker
from tests.fleet.database import Database, new_database
from tests.fleet.login_host import LoginHost
from tests.host.programs import ACCEPTED, ASK, GATE, REFUSED, VERIFY

SECTION = "verify and gate: in a fleet, and with secrets in the homes"
HERE, FLEET = "in the homes", "in a fleet"
CORRECT, INCORRECT, QUESTION = "verify: correct code", "verify: incorrect code", "gate: enrolled"
NAMES = (CORRECT, INCORRECT, QUESTION)
MAX_RATIO = 1.1
OWN = Path("/root/own")
# A shell, since mounts of a namespace end with its last process.
ALONE = """
for folder in /etc/pam-totp /var/lib/pam-totp /run/pam-totp; do
    mkdir -p "$0$folder" && chmod 700 "$0$folder" && mount --bind "$0$folder" "$folder" || exit 1
done
exec /usr/bin/python3 -IS tests/bench/launcher.py
"""


def name_of(name: str, where: str) -> str:
    return f"{name}, {where}"


def measure(host: BenchHost) -> list[Measured]:
    local = Worker("unshare", "--mount", "sh", "-c", ALONE, str(OWN))
    database = new_database("")
    try:
        login_host = LoginHost(database)
        login_host.start()
        secret = base64.b32decode(host.enrolled.credential.secret)
        database.person(host.enrolled.user.name, secret=secret)
        in_fleet = start_launcher()
        # Both forget, and so find the same in the caches.
        of_both = (
            (HERE, local, replace(host.enrolled, records=OWN / "run/pam-totp")),
            (FLEET, in_fleet, host.enrolled),
        )
        candidates = [
            Candidate(SECTION, name_of(name, where), name_of(name, HERE), run)
            for name in NAMES
            for where, worker, account in of_both
            for run in [run_of(name, worker, account, database)]
        ]
        measured = rounds.run(candidates, at_least=100, at_most=300, stable=0.02)
        login_host.clean_up()
        return measured
    finally:
        database.admin.close()
        database.drop()


def run_of(name: str, worker: Worker, account: Account, database: Database) -> Callable[[], Sample]:
    argv, code, exit_code = {
        CORRECT: ([VERIFY], "", ACCEPTED),
        INCORRECT: ([VERIFY], account.credential.incorrect_code(), REFUSED),
        QUESTION: ([GATE], "", ASK),
    }[name]
    has_mark = name == CORRECT  # of the login before it
    program = Program(worker, name, argv, account, exit_code, code, has_mark)

    def run() -> Sample:
        forget(database)
        return program.run()

    return run


def forget(database: Database) -> None:
    """In the store, what Account.forget_codes forgets on a host."""
    database.admin.execute("UPDATE totp.credential SET last_step = -1")
    database.admin.execute("UPDATE totp.person SET in_a_row = 0, last_try = 0, budget_used = 0")
    database.admin.execute("UPDATE totp.host SET budget_used = 0")
