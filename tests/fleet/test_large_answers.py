# SPDX-License-Identifier: MIT
"""A server that is broken, or was taken over, and answers more than an agent can hold: the login is
told that the store is unavailable, and the agent lives on for the next one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.agent.program import MAX_DATA_BYTES
from pam_totp.records import fleet, fleet_of_commands
from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from tests.fleet.database import Database, Person
from tests.fleet.login_host import HOST, LoginHost

LARGE = 8_000_000  # bytes
TOO_LARGE = 150_000_000  # for the memory that an agent may have
# What the agent does, with more time than a login has: the server needs a second to make that.
ASK_ALONE = """
import re, resource, sys, time
sys.path.insert(0, "/usr/lib/pam-totp")
from pam_totp import VERSION
from pam_totp.agent.conninfo import read_store
from pam_totp.agent.outcome import Unavailable
from pam_totp.agent.pool import Pool
from pam_totp.agent.program import MAX_DATA_BYTES
from pam_totp.agent.seen import Seen
resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
store = read_store()
until = time.monotonic() + 60
try:
    with Pool(store, Seen(sys.argv[1], store.id), 1, VERSION).connection(until) as (connection, _):
        connection.ask(sys.argv[2].encode(), [], until)
except Unavailable as failure:
    # Of this program alone; getrusage(2) tells of the one that it was forked from, too.
    (most,) = re.findall(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
    print(int(most) * 1024, failure)
"""
STANDING = """\
CREATE OR REPLACE FUNCTION totp_api_1.standing(person text, OUT state text, OUT wait_seconds int)
LANGUAGE plpgsql AS $$ BEGIN {} END $$
"""
STANDINGS = """\
CREATE OR REPLACE FUNCTION totp_api_1.standings(persons text[])
RETURNS TABLE (person text, state text, wait_seconds int, devices int, recovery_left int)
LANGUAGE sql STABLE AS $$
  SELECT repeat('x', 60), text 'enrolled', 0, 1, 0 FROM generate_series(1, 200000)
$$
"""
ASK_ABOUT_ONE = (fleet.standing, "standing")
ASK_ABOUT_MANY = (lambda person: fleet_of_commands.standings([person]), "standings")
Ask = tuple[Callable[[str], object], str]
ANSWERS: dict[str, tuple[Ask, str]] = {
    "one value": (ASK_ABOUT_ONE, STANDING.format(f"state := repeat('x', {LARGE});")),
    "many rows": (ASK_ABOUT_MANY, STANDINGS),
    "one error": (ASK_ABOUT_ONE, STANDING.format(f"RAISE '%', repeat('x', {LARGE});")),
    "many warnings": (
        ASK_ABOUT_ONE,
        STANDING.format(
            "FOR n IN 1 .. 1000000 LOOP RAISE WARNING '%', repeat('x', 8000); END LOOP;"
        ),
    ),
    "one message": (
        ASK_ABOUT_ONE,
        STANDING.format(f"RAISE INFO '%', repeat('x', {LARGE}); state := 'enrolled';"),
    ),
}


@pytest.fixture
def person(database: Database) -> Person:
    return database.person()


def most_bytes(pid: int) -> int:
    """That a process has had in memory at once."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_too_large_ends_no_agent(
    login_host: LoginHost, person: Person, now: float, kind: str
) -> None:
    (ask, function), answer = ANSWERS[kind]
    agent = login_host.restart()
    before = login_host.database.value(
        f"SELECT pg_get_functiondef('totp_api_1.{function}'::regproc)"
    )
    limit = f"ALTER ROLE {HOST} SET temp_file_limit = {{}}"
    login_host.database.admin.execute(limit.format("-1").encode())
    login_host.database.admin.execute(answer.encode())
    try:
        with pytest.raises(Failure, match="sends more than") as told:
            ask(person.name)
    finally:
        login_host.database.admin.execute(before)
        login_host.database.admin.execute(limit.format("'8MB'").encode())
    assert told.value.reason == STORE_UNAVAILABLE
    assert most_bytes(agent.pid) < MAX_DATA_BYTES
    assert agent.poll() is None
    assert fleet.check(person.name, person.code(now), "sshd", "192.0.2.7").accepted


@pytest.mark.parametrize("ask", ["SELECT repeat('x', {})", "SELECT repeat('x', {})::int"])
def test_a_message_that_no_memory_holds_is_refused(
    login_host: LoginHost, tmp_path: Path, ask: str
) -> None:
    command = ["/usr/bin/python3", "-I", "-c", ASK_ALONE, str(tmp_path), ask.format(TOO_LARGE)]
    done = subprocess.run(command, capture_output=True, text=True)
    most, said = done.stdout.split(" ", 1)
    assert "sends more than" in said or "does not answer like a PostgreSQL server" in said
    assert int(most) < MAX_DATA_BYTES, done.stdout
