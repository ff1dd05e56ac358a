# SPDX-License-Identifier: MIT
"""`pam-totp import` of many users of google-authenticator, each with five scratch codes."""

import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench import rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.host.credentials import new_secrets

USERS = 10_000
FIRST_UID = 3_000_000
SECTION, NAME = "pam-totp import", f"{USERS:,} users of google-authenticator"
MAX_SECONDS = 20.0
COMMAND = ["/usr/bin/pam-totp", "import", "google-authenticator", "--all", "--apply", "--json"]
HOMES, ACCOUNTS = Path("/home/imported"), Path("/etc/passwd")
REPORT = Path("/tmp/imported")
# As google-authenticator makes it with the answers that it recommends.
OPTIONS = '" RATE_LIMIT 3 30\n" WINDOW_SIZE 17\n" DISALLOW_REUSE\n" TOTP_AUTH\n'
CODES = "".join(f"{number}\n" for number in range(12345678, 12345683))


def measure(_: BenchHost) -> list[Measured]:
    """One candidate: how long all take, in ms."""
    before = ACCOUNTS.read_bytes()
    enroll_many()
    try:
        candidate = Candidate(SECTION, NAME, NAME, import_all)
        return rounds.run([candidate], at_least=3, at_most=3, stable=0.05)
    finally:
        ACCOUNTS.write_bytes(before)
        shutil.rmtree(HOMES)


def enroll_many() -> None:
    """So many accounts with a home and the other program's file; one secret for all."""
    content = f"{new_secrets()[0]}\n{OPTIONS}{CODES}".encode("ascii")
    accounts = []
    for uid in range(FIRST_UID, FIRST_UID + USERS):
        home = f"{HOMES}/{uid}"
        accounts.append(f"imported{uid}:x:{uid}:{uid}::{home}:/bin/bash\n")
        os.makedirs(home)
        path = f"{home}/.google_authenticator"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        os.write(file, content)
        os.close(file)
        for each in (path, home):
            os.chown(each, uid, uid)
    with ACCOUNTS.open("a", encoding="ascii") as passwd:
        passwd.writelines(accounts)


def import_all() -> Sample:
    """What the time before has left goes first, and is not measured."""
    for uid in range(FIRST_UID, FIRST_UID + USERS):
        shutil.rmtree(f"{HOMES}/{uid}/.config", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with REPORT.open("wb") as output:
        begin = time.perf_counter()
        done = subprocess.run(COMMAND, stdout=output)
        wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = json.loads(REPORT.read_text(encoding="utf-8"))["users"]
    imported = sum(row["outcome"] == "imported" and row["recovery_codes"] == 5 for row in rows)
    if (done.returncode, imported) != (0, USERS):
        raise UnexpectedResult(f"import ended with {done.returncode}, {imported:,} imported")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Sample(wall * 1000, cpu * 1000)
