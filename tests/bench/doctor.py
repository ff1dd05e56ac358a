# SPDX-License-Identifier: MIT
"""`pam-totp doctor` on a host with many services and users."""

import resource
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench import listing, rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult

SERVICES, USERS = 100, 5_000
SECTION, NAME = "pam-totp doctor", f"{SERVICES} services, {USERS:,} enrolled users"
COMMAND = ["taskset", "-c", "0", "/usr/bin/pam-totp", "doctor", "--json"]  # on one processor
FOLDER, PASSWD = Path("/etc/pam.d"), Path("/etc/passwd")
STACK = """\
auth requisite pam_faildelay.so delay=3000000
@include common-auth
auth required pam_totp.so
@include common-account
session optional pam_motd.so
@include common-session
"""


def measure(_: BenchHost) -> list[Measured]:
    """One candidate: how long all checks take, in ms."""
    accounts = PASSWD.read_bytes()
    services = [FOLDER / f"service{n}" for n in range(SERVICES - len(list(FOLDER.iterdir())))]
    for path in services:
        path.write_text(STACK, encoding="ascii")
    listing.enroll_many(USERS)
    candidate = Candidate(SECTION, NAME, NAME, examine)
    measured = rounds.run([candidate], at_least=5, at_most=10, stable=0.05)
    # The next section has accounts of its own.
    PASSWD.write_bytes(accounts)
    shutil.rmtree(listing.HOMES)
    shutil.rmtree(listing.MARKS)
    for path in services:
        path.unlink()
    return measured


def examine() -> Sample:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(COMMAND, capture_output=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 1 or done.stderr or b"service-without-code" not in done.stdout:
        raise UnexpectedResult(f"doctor ended with {done.returncode}: {done.stderr.decode()}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Sample(wall * 1000, cpu * 1000)
