# SPDX-License-Identifier: MIT
"""Enrolling many users, each with a sheet, a picture of the QR code and ten recovery codes, beside
a loop over the command of google-authenticator without its QR code.

That one makes five codes for a lost phone, and nothing to print.
"""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult

USERS = 1_000
FIRST_UID = 2_500_000
SECTION = f"enrolling {USERS:,} users, ms a user"
GOOGLE, OURS = "google-authenticator, a shell loop", "enroll --users: sheet, PNG, ten codes"
HOMES, SHEETS, PASSWD = Path("/home/crowd"), Path("/root/sheets-of-the-bench"), Path("/etc/passwd")
NAMES = Path("/root/names-of-the-bench")
LOOP = (
    'while read -r name; do runuser -u "$name" -- google-authenticator -t -d -f -r 3 -R 30 -w 3 '
    f"-Q NONE -q || exit 1; done <{NAMES}"
)


def measure(_: BenchHost) -> list[Measured]:
    """One candidate each, in turns; the accounts are gone afterwards."""
    accounts = PASSWD.read_bytes()
    names = [f"crowd{number}" for number in range(USERS)]
    with PASSWD.open("a", encoding="ascii") as file:
        for uid, name in enumerate(names, FIRST_UID):
            file.write(f"{name}:x:{uid}:{uid}::{HOMES}/{name}:/bin/bash\n")
    ours = ["/usr/bin/pam-totp", "enroll", "--users", str(NAMES), "--sheets", str(SHEETS)]
    candidates = [
        Candidate(
            SECTION, GOOGLE, GOOGLE, enrolling(["/bin/sh", "-c", LOOP], names, ".google_auth")
        ),
        Candidate(SECTION, OURS, GOOGLE, enrolling([*ours, "--pictures"], names)),
    ]
    measured = rounds.run(candidates, at_least=5, at_most=7, stable=0.05)
    PASSWD.write_bytes(accounts)
    shutil.rmtree(HOMES, ignore_errors=True)
    shutil.rmtree(SHEETS, ignore_errors=True)
    return measured


def enrolling(
    command: list[str], names: list[str], kept: str = ".config/pam-totp/secret"
) -> Callable[[], Sample]:
    """A run of the command for these users, who have not enrolled; a file of each is kept."""

    def run() -> Sample:
        shutil.rmtree(HOMES, ignore_errors=True)
        shutil.rmtree(SHEETS, ignore_errors=True)
        NAMES.write_text("".join(f"{name}\n" for name in names), encoding="ascii")
        for uid, name in enumerate(names, FIRST_UID):
            (HOMES / name).mkdir(mode=0o700, parents=True)
            os.chown(HOMES / name, uid, uid)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True)
        wall = time.perf_counter() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        count = len(list(HOMES.glob(f"*/{kept}*")))
        if (done.returncode, count) != (0, len(names)):
            raise UnexpectedResult(f"{command[0]}: {done.returncode}, {count}: {done.stderr!r}")
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return Sample(wall * 1000 / len(names), cpu * 1000 / len(names))

    return run
