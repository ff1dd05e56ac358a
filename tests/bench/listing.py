# SPDX-License-Identifier: MIT
"""`pam-totp users` on a host where everybody has enrolled and logged in."""

import os
import resource
import subprocess
import time
from pathlib import Path

from tests.bench import rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.host.credentials import new_secrets

ENROLLED = 50_000
FIRST_UID = 2_000_000
SECTION, NAME = "pam-totp users", f"{ENROLLED:,} enrolled users"
COMMAND = "/usr/bin/pam-totp"
HOMES, MARKS = Path("/home/enrolled"), Path("/var/lib/pam-totp/enforced")
LISTED = Path("/tmp/listed")
# As `pam-totp enroll` leaves them: ten hashes.
RECOVERY = f"pam-totp recovery 1 {'0' * 32}\n" + "".join(f"{number:064x}\n" for number in range(10))


def measure(_: BenchHost) -> list[Measured]:
    """One candidate: how long the whole list takes, in ms. The accounts stay."""
    enroll_many()
    candidate = Candidate(SECTION, NAME, NAME, list_users)
    return rounds.run([candidate], at_least=5, at_most=5, stable=0.05)


def enroll_many(number: int = ENROLLED) -> None:
    """So many accounts with a home, a secret, recovery codes and a mark; one secret for all."""
    secret = f"otpauth://totp/server:user@server?secret={new_secrets()[0]}&issuer=server phone\n"
    MARKS.mkdir(mode=0o700, exist_ok=True)
    accounts = []
    for uid in range(FIRST_UID, FIRST_UID + number):
        home = f"{HOMES}/{uid}"
        folder = f"{home}/.config/pam-totp"
        accounts.append(f"enrolled{uid}:x:{uid}:{uid}::{home}:/bin/bash\n")
        os.makedirs(folder)
        for name, content in (("secret", secret), ("recovery", RECOVERY)):
            write(f"{folder}/{name}", content.encode("ascii"))
            os.chown(f"{folder}/{name}", uid, uid)
        for path in (folder, f"{home}/.config", home):
            os.chown(path, uid, uid)
        write(f"{MARKS}/{uid}", b"")
    with Path("/etc/passwd").open("a", encoding="ascii") as file:
        file.writelines(accounts)


def write(path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, content)
    os.close(file)


def list_users() -> Sample:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with LISTED.open("wb") as output:
        begin = time.perf_counter()
        done = subprocess.run([COMMAND, "users"], stdout=output)
        wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = LISTED.read_text(encoding="utf-8").splitlines()
    listed = sum(line.startswith("enrolled2") and " yes " in line for line in lines)
    if (done.returncode, listed) != (0, ENROLLED):
        raise UnexpectedResult(f"users ended with {done.returncode}, {listed:,} enrolled ones")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Sample(wall * 1000, cpu * 1000)
