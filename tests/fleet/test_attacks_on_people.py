# SPDX-License-Identifier: MIT
"""What neither a stolen host nor a user of one can do to people of a fleet."""

import socket
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from pam_totp.rules import agent_line
from tests.commands.commands import verify
from tests.fleet.database import Connection, Person
from tests.fleet.small_fleet import ROOTS_SOCKET, USERS_SOCKET, SmallFleet
from tests.host.accounts import User
from tests.host.programs import ACCEPTED

DENIED = "42501"  # SQLSTATE insufficient_privilege
NO_SUCH, NOT_HERE = "P0T02", "P0T03"
FLOOD = 300  # far more than the users' agent serves at once
ASK = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(10)
peer.connect(sys.argv[1])
peer.sendall(bytes.fromhex(sys.argv[2]))
sys.stdout.buffer.write(peer.recv(4096))
"""


@pytest.fixture
def stolen(small_fleet: SmallFleet) -> Iterator[Connection]:
    """The role of a host that somebody has stolen."""
    with small_fleet.connect("stolen") as connection:
        yield connection


@pytest.fixture
def somebody(small_fleet: SmallFleet) -> Iterator[Person]:
    person = small_fleet.person()
    yield person
    small_fleet.forget(person.name)


def refusal_of(connection: Connection, query: str, *arguments: object) -> str:
    """The SQLSTATE by which the store refuses; empty if it does not."""
    try:
        connection.execute(query.encode(), arguments or None)
    except psycopg.Error as failure:
        return failure.sqlstate or "?"
    return ""


@pytest.mark.parametrize(
    "call",
    [
        "invite(%s, '1 day')",
        "people(ARRAY[%s])",
        "reset(%s)",
        "unlock(%s)",
        "new_recovery_codes(%s)",
        "import_credential(%s, '12345678901234567890', 'sha1', 6, 30, 0, 'phone', -1)",
        "add_host(%s, true, 1, 1)",
    ],
)
def test_a_stolen_host_does_nothing_of_an_administrator(
    small_fleet: SmallFleet, stolen: Connection, somebody: Person, call: str
) -> None:
    before = small_fleet.value("SELECT people::text FROM totp_admin_1.people(%s)", [somebody.name])
    query = f"SELECT * FROM totp_admin_1.{call}"
    assert refusal_of(stolen, query, somebody.name) == DENIED
    assert refusal_of(stolen, "SET ROLE totp_admin") == DENIED
    after = small_fleet.value("SELECT people::text FROM totp_admin_1.people(%s)", [somebody.name])
    assert after == before


@pytest.mark.parametrize(
    "table", ["person", "credential", "invitation", "pending", "recovery_code"]
)
def test_a_stolen_host_lists_nobody(stolen: Connection, table: str) -> None:
    assert refusal_of(stolen, f"SELECT * FROM totp.{table}") == DENIED
    assert refusal_of(stolen, f"DELETE FROM totp.{table}") == DENIED


BEGIN = "SELECT * FROM totp_api_1.enroll_begin(%s, %s, 'phone')"
CONFIRM = "SELECT * FROM totp_api_1.enroll_confirm(%s, %s, %s)"


def test_a_code_alone_enrolls_nothing(
    small_fleet: SmallFleet, stolen: Connection, somebody: Person
) -> None:
    """A code that is typed at a stolen host is good for one login, not for a phone of its own."""
    code = somebody.code(time.time())
    assert refusal_of(stolen, BEGIN, somebody.name, "") == NOT_HERE
    assert refusal_of(stolen, BEGIN, somebody.name, code) == NO_SUCH
    assert refusal_of(stolen, CONFIRM, somebody.name, "", code) == NOT_HERE
    assert refusal_of(stolen, BEGIN, "nobody-yet", "") == NOT_HERE
    assert small_fleet.state_of(somebody.name) == "enrolled"


@pytest.mark.parametrize("whose", ["used", "expired", "of another", "replaced", "made up"])
def test_no_other_invitation_enrolls(
    small_fleet: SmallFleet, stolen: Connection, somebody: Person, whose: str
) -> None:
    invite = "SELECT totp_admin_1.invite(%s, '1 hour')"
    other = small_fleet.person()
    invitation = small_fleet.value(invite, other.name if whose == "of another" else somebody.name)
    if whose == "made up":
        invitation = "a" * 16
    if whose == "replaced":
        small_fleet.value(invite, somebody.name)
    if whose == "expired":
        small_fleet.shift_clock(3601)
    if whose == "used":
        row = stolen.execute(BEGIN, [somebody.name, invitation]).fetchone()
        assert row is not None
        new = Person(somebody.name, row[0])
        code = new.code(time.time())
        confirmed = stolen.execute(CONFIRM, [somebody.name, invitation, code]).fetchone()
        assert confirmed is not None and confirmed[0]
    assert refusal_of(stolen, BEGIN, somebody.name, invitation) == NO_SUCH
    assert refusal_of(stolen, CONFIRM, somebody.name, invitation, "123456") == NO_SUCH
    small_fleet.shift_clock(0)
    small_fleet.forget(other.name)


def test_an_answer_that_is_rolled_back_enrolls_nobody(
    small_fleet: SmallFleet, stolen: Connection, somebody: Person
) -> None:
    invitation = small_fleet.value("SELECT totp_admin_1.invite(%s, '1 hour')", somebody.name)
    row = stolen.execute(BEGIN, [somebody.name, invitation]).fetchone()
    assert row is not None
    code = Person(somebody.name, row[0]).code(time.time())
    with stolen.transaction(force_rollback=True):
        stolen.execute(CONFIRM, [somebody.name, invitation, code])
    since = "SELECT count(*) FROM totp.credential c JOIN totp.person p ON p.id = c.person"
    query = f"{since} WHERE p.name = %s AND c.sealed IS NOT NULL AND c.last_step = -1"
    assert small_fleet.value(query, somebody.name) == 1  # the old one


def ask(user: User, path: object, *fields: str) -> str:
    """What the agent answers to a line of this user."""
    line = agent_line.encode(*fields).hex()
    done = user.run_as("/usr/bin/python3", "-c", ASK, str(path), line)
    return done.stdout or done.stderr


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        (agent_line.STANDING, []),
        (agent_line.STANDINGS, []),
        (agent_line.ENROLL_BEGIN, ["a" * 16, "phone"]),
        (agent_line.ENROLL_CONFIRM, ["a" * 16, "123456"]),
    ],
)
def test_a_user_learns_and_changes_nothing_of_another(
    fleet: SmallFleet, user: User, somebody: Person, verb: str, more: list[str]
) -> None:
    answer = ask(user, USERS_SOCKET, verb, somebody.name, *more)
    assert answer == "unavailable\0pam-totp-agent answers users only about themselves\n"
    assert ask(user, USERS_SOCKET, agent_line.STANDINGS, user.name, somebody.name) == answer


def test_a_user_tries_no_codes_at_the_socket_for_users(
    fleet: SmallFleet, user: User, somebody: Person
) -> None:
    for name in (user.name, somebody.name):
        answer = ask(user, USERS_SOCKET, agent_line.CHECK, name, "123456", "sshd", "")
        assert answer.startswith("unavailable\0")


def test_a_user_does_not_reach_the_socket_of_logins(fleet: SmallFleet, user: User) -> None:
    assert "PermissionError" in ask(user, ROOTS_SOCKET, agent_line.STANDING, user.name)


def test_a_flood_at_the_socket_for_users_does_not_touch_logins(
    fleet: SmallFleet, user: User, make_user: Callable[..., User]
) -> None:
    phone = fleet.person(user.name)
    flood = []
    try:
        for _ in range(FLOOD):
            peer = socket.socket(socket.AF_UNIX)
            peer.setblocking(False)
            try:
                peer.connect(str(USERS_SOCKET))
                peer.send(b"standing\0" + user.name.encode())  # and no end of the line
            except (BlockingIOError, BrokenPipeError):
                pass  # its queue is full, or this is one of too many of one user
            flood.append(peer)
        assert verify(user, phone.code(time.time())).code == ACCEPTED
    finally:
        for peer in flood:
            peer.close()
