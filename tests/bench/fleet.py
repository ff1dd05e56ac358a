# SPDX-License-Identifier: MIT
"""The store of a fleet: its server on one processor, its clients on another one.

The server writes to memory here, as all of a throw-away host does; it waits for each write as ever.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.fleet.database import Connection, Database, Person, check, new_database

CONNECTIONS, OF_A_HOST = 24, 4
TRIES = 1200  # of all connections
SECTION = f"the store, {TRIES:,} questions of {CONNECTIONS} connections"
CORRECT, INCORRECT, STANDING = "correct codes", "incorrect codes", "standing, for the gate"
MAX_SECONDS = TRIES / 600
RACES, RACE_SECTION = 200, f"the store, one code from {CONNECTIONS} connections"
STORM, STORM_SECTION = 500, "the store, 500 hosts after its server was started again"
RECONNECT, MAX_STORM_SECONDS = "all connected, and greeted", 10.0
PEOPLE, MAX_MEGABYTES = 50_000, 100.0
SETTINGS = f"max_connections = {STORM + 100}\nshared_buffers = 128MB\n"
SHARED_SECRET = b"a secret for everybody"
SIZE = f"{PEOPLE:,} people with ten recovery codes"
MEMORY, MAX_CONNECTION_MEGABYTES = "memory of a kept connection", 10.0

# In MB, by name: what is no time.
sizes: dict[str, float] = {}


def measure(_: BenchHost) -> list[Measured]:
    """Times of all questions together, in ms; the CPU time is the server's. Fills `sizes`."""
    database = new_database(SETTINGS)
    try:
        with on_two_processors(database):
            sizes[SIZE] = load_people(database)
            now = database.freeze_clock()
            measured = questions(database, now) + race(database, now)
        return measured + storm(database)
    finally:
        database.admin.close()
        database.drop()


@contextmanager
def on_two_processors(database: Database) -> Iterator[None]:
    """The server on the last one, this process on the others."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) == 1:
        yield
        return
    os.sched_setaffinity(postmaster(database), processors[-1:])  # for the sessions to come
    os.sched_setaffinity(0, processors[:-1])
    yield
    os.sched_setaffinity(0, processors)
    os.sched_setaffinity(postmaster(database), processors)


def postmaster(database: Database) -> int:
    return int((database.data / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])


def load_people(database: Database) -> float:
    """So many people, one secret for all; their size in MB."""
    admin = database.admin
    admin.execute(
        "INSERT INTO totp.person (name) SELECT 'user' || generate_series(1, %s)", [PEOPLE]
    )
    admin.execute(
        "INSERT INTO totp.credential OVERRIDING SYSTEM VALUE SELECT made.* FROM totp.person p,"
        " totp.new_credential(p, %s, 'sha1', 6, 30, 0, 'phone', -1) made",
        [SHARED_SECRET],
    )
    admin.execute(
        "INSERT INTO totp.recovery_code (person, digest)"
        " SELECT id, totp.digest_of(id || ' ' || n)"
        " FROM totp.person, generate_series(1, 10) n"
    )
    admin.execute("VACUUM ANALYZE")
    tables = ("person", "credential", "recovery_code", "invitation", "pending")
    total = sum(
        database.value("SELECT pg_total_relation_size(%s)", f"totp.{each}") for each in tables
    )
    return float(total) / 1e6


def questions(database: Database, now: float) -> list[Measured]:
    """Each candidate asks about other people each time."""
    hosts = connections(database, CONNECTIONS)
    people = iter(range(1, PEOPLE))
    shared = Person("", SHARED_SECRET)
    correct, incorrect = shared.code(now), shared.incorrect_code(now)

    def ask_about_codes(code: str, reason: str) -> Sample:
        names = [f"user{next(people)}" for _ in range(TRIES)]
        database.admin.execute("UPDATE totp.host SET budget_used = 0")
        return ask(hosts, names, lambda host, name: check(host, name, code)[1], reason)

    def standing(host: Connection, name: str) -> Any:
        row = host.execute("SELECT state FROM totp_api_1.standing(%s)", [name]).fetchone()
        return row and row[0]

    names = [f"user{number}" for number in range(PEOPLE - TRIES, PEOPLE)]
    candidates = [
        Candidate(SECTION, CORRECT, CORRECT, lambda: ask_about_codes(correct, "totp")),
        Candidate(SECTION, INCORRECT, CORRECT, lambda: ask_about_codes(incorrect, "wrong-code")),
        Candidate(SECTION, STANDING, CORRECT, lambda: ask(hosts, names, standing, "enrolled")),
    ]
    measured = rounds.run(candidates, at_least=5, at_most=12, stable=0.05)
    for host in hosts:
        host.close()
    return measured


def ask(
    hosts: Sequence[Connection],
    names: Sequence[str],
    question: Callable[[Connection, str], Any],
    expected: str,
) -> Sample:
    """About each name once, all connections at work. CPU time: of their sessions."""
    answers: list[Any] = []

    def work(number: int) -> None:
        for name in names[number :: len(hosts)]:
            answers.append(question(hosts[number], name))

    before = sum(map(cpu_of, hosts))
    begin = time.perf_counter()
    at_once(work, len(hosts))
    wall = time.perf_counter() - begin
    cpu = sum(map(cpu_of, hosts)) - before
    if answers != [expected] * len(names):
        raise UnexpectedResult(f"the store answered {set(answers)}, not {expected}")
    return Sample(wall * 1000, cpu * 1000)


def race(database: Database, now: float) -> list[Measured]:
    """One round a person: all connections enter the same code, and one is accepted."""
    hosts = connections(database, CONNECTIONS)
    people = iter(range(PEOPLE, 0, -1))
    code = Person("", SHARED_SECRET).code(now)

    def one_code() -> Sample:
        name, accepted = f"user{next(people)}", []
        database.admin.execute("UPDATE totp.host SET budget_used = 0")
        gate = threading.Barrier(CONNECTIONS)

        def work(number: int) -> None:
            gate.wait()
            accepted.append(check(hosts[number], name, code)[0])

        begin = time.perf_counter()
        at_once(work, CONNECTIONS)
        wall = time.perf_counter() - begin
        if (len(accepted), sum(accepted)) != (CONNECTIONS, 1):
            raise UnexpectedResult(f"one code was accepted {sum(accepted)} times")
        return Sample(wall * 1000)

    candidate = Candidate(RACE_SECTION, "accepted once", "accepted once", one_code)
    measured = rounds.run([candidate], at_least=RACES, at_most=RACES, stable=0)
    for host in hosts:
        host.close()
    return measured


def storm(database: Database) -> list[Measured]:
    """All hosts connect at the same moment, as after a failover."""
    names = [f"login{number}.example.org" for number in range(STORM)]
    for name in names:
        database.add_host(name)
    who = Person("user1", SHARED_SECRET)

    def reconnect() -> Sample:
        database.admin.close()
        database.control("restart")
        database.admin = database.superuser()
        hosts: list[Connection] = []

        def work(number: int) -> None:
            host = database.connect(names[number])
            host.execute("SELECT totp_api_1.hello(0, '1')")
            hosts.append(host)

        begin = time.perf_counter()
        at_once(work, STORM)
        wall = time.perf_counter() - begin
        if len(hosts) != STORM:
            raise UnexpectedResult(f"{len(hosts)} of {STORM} hosts connected")
        for host in hosts:
            check(host, who.name, "000000")
        sizes[MEMORY] = sum(map(memory_of, hosts)) / STORM
        for host in hosts:
            host.close()
        return Sample(wall * 1000)

    measured = Measured(Candidate(STORM_SECTION, RECONNECT, RECONNECT, reconnect))
    measured.samples = [reconnect() for _ in range(3)]
    return [measured]


def connections(database: Database, number: int) -> list[Connection]:
    """Of as many hosts as it takes."""
    return [database.connect(f"bench{each // OF_A_HOST}") for each in range(number)]


def at_once(work: Callable[[int], None], number: int) -> None:
    threads = [threading.Thread(target=work, args=[each]) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cpu_of(host: Connection) -> float:
    """Seconds of the session's server process so far, user and system."""
    stat = Path(f"/proc/{host.info.backend_pid}/stat").read_text(encoding="utf-8")
    user, system = stat.rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_of(host: Connection) -> float:
    """MB of the session's server process, its part of what is shared included."""
    rollup = Path(f"/proc/{host.info.backend_pid}/smaps_rollup").read_text(encoding="ascii")
    line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024 / 1e6
