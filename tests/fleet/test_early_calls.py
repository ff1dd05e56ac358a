# SPDX-License-Identifier: MIT
"""A login that calls the agent before it knows what it will ask."""

import os
import posix
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records import fleet
from pam_totp.records.host import agent
from pam_totp.rules import agent_line
from pam_totp.rules.agent_line import ANSWER_SECONDS
from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from tests.fleet.database import Database, Person, wait_until
from tests.fleet.login_host import HOST, SOCKET, USERS_SOCKET, LoginHost
from tests.fleet.test_agent import backends, check
from tests.host.accounts import User
from tests.host.programs import ACCEPTED, ASK, GATE, REFUSED, VERIFY
from tests.sending.application import login
from tests.sending.outbox import NUMBER, SENDS, forget_limits, gateway, give_contact, sending

TRIES = "SELECT count(*) FROM totp.attempt WHERE host = %s"


@pytest.fixture
def person(database: Database) -> Person:
    return database.person()


@pytest.fixture
def unconnected(login_host: LoginHost) -> LoginHost:
    """Its agent has no connection to the store yet."""
    login_host.restart()
    wait_until(lambda: not backends(login_host.database))
    return login_host


@pytest.fixture
def caller() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as peer:
        yield peer


def test_the_connection_is_opened_before_anything_is_asked(
    unconnected: LoginHost, caller: socket.socket, person: Person, now: float
) -> None:
    before = unconnected.database.value(TRIES, HOST)
    caller.connect(str(SOCKET))
    wait_until(lambda: backends(unconnected.database))
    opened = backends(unconnected.database)
    assert unconnected.database.value(TRIES, HOST) == before
    caller.sendall(agent_line.encode("check", person.name, person.code(now), "sshd", ""))
    assert caller.recv(4096).split(b"\0")[:3] == [b"ok", b"t", b"totp"]
    assert backends(unconnected.database) == opened


def test_a_caller_that_says_nothing_keeps_no_connection_from_others(
    unconnected: LoginHost, person: Person, now: float
) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    for each in silent:
        each.connect(str(SOCKET))
    assert check(person, person.code(now)) == "totp"
    assert not select.select(silent, [], [], 0)[0], "it waited until the agent gave the others up"
    assert len(backends(unconnected.database)) <= 3
    for each in silent:
        each.close()


def test_users_who_say_nothing_make_the_agent_ask_nothing(
    login_host: LoginHost, caller: socket.socket
) -> None:
    login_host.stop()
    login_host.start_for_users()
    wait_until(lambda: not backends(login_host.database))
    caller.connect(str(USERS_SOCKET))
    caller.settimeout(2 * ANSWER_SECONDS)
    assert caller.recv(4096) == b""
    assert not backends(login_host.database)


def call_early(*asked: str) -> None:
    """As the launcher of gate and verify does it; `asked`: the line that it sends, if any."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(SOCKET))
    if asked:
        peer.sendall(agent_line.encode(*asked))
    take(peer.detach(), asked)


def take(descriptor: int, asked: tuple[str, ...]) -> None:
    said = (descriptor, time.monotonic(), bool(asked))
    posix.environ[agent.EARLY_CALL] = b"%d %.9f %d" % said
    agent.take_early_call(*(asked or ("info",)))


def question(person: Person, code: str) -> tuple[str, ...]:
    """What `check` asks the agent."""
    return ("check", person.name, code, "sshd", "192.0.2.7")


@pytest.mark.parametrize("seconds", [0.0, agent.MAX_EARLY_SECONDS + 0.1])
def test_a_question_after_an_early_call_is_answered(
    login_host: LoginHost, person: Person, now: float, seconds: float
) -> None:
    call_early()
    time.sleep(seconds)
    assert check(person, person.code(now)) == "totp"
    assert check(person, person.code(now)) == "reused-code"


def test_an_early_call_is_taken_once(login_host: LoginHost, person: Person, now: float) -> None:
    """Its number is another descriptor's once it has been answered."""
    call_early()
    agent.take_early_call("info")
    assert check(person, person.code(now)) == "totp"
    assert check(person, person.code(now)) == "reused-code"


def test_what_sends_a_code_on_request_has_no_connection_of_the_login(
    login_host: LoginHost, user: User
) -> None:
    login_host.enroll(user)
    give_contact(user, ("sms", NUMBER))
    forget_limits()
    with gateway("sleep 15", f"store: postgresql\n{SENDS}"), login(user) as application:
        assert "on its way" in application.verify("sms").output
        wait_until(lambda: len(sending()) == 1)
        (process,) = sending()
        opened = [os.readlink(each) for each in Path(f"/proc/{process}/fd").iterdir()]
    assert [each for each in opened if each.startswith("socket:")] == []


def test_nor_has_what_sends_a_code_where_no_store_of_a_fleet_is_asked(
    login_host: LoginHost, user: User
) -> None:
    """A host whose agent still runs, or does so for something else."""
    give_contact(user, ("sms", NUMBER))
    forget_limits()
    with gateway("sleep 5", f"store: user\n{SENDS}"), login(user):
        (process,) = sending()
        opened = [os.readlink(each) for each in Path(f"/proc/{process}/fd").iterdir()]
    assert [each for each in opened if each.startswith("socket:")] == []


def test_an_early_call_that_is_too_old_is_not_used(
    login_host: LoginHost, person: Person, now: float
) -> None:
    call_early()
    login_host.restart()
    time.sleep(agent.MAX_EARLY_SECONDS)
    assert check(person, person.code(now)) == "totp"


def test_an_early_call_that_is_cut_off_is_no_answer(
    login_host: LoginHost, person: Person, now: float
) -> None:
    call_early()
    login_host.stop()
    with pytest.raises(Failure) as refused:
        fleet.check(person.name, person.code(now), "sshd", "")
    assert refused.value.reason == STORE_UNAVAILABLE


def test_a_login_asks_by_the_call_of_its_launcher(
    login_host: LoginHost, user: User, now: float
) -> None:
    code = login_host.enroll(user).code(now)
    environment = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"}
    for program, typed, expected in ((GATE, "", ASK), (VERIFY, code, ACCEPTED)):
        command = ["strace", "-f", "-e", "trace=connect", program]
        pipe = subprocess.PIPE
        ended = subprocess.run(
            command, env=environment, input=typed, stdout=pipe, stderr=pipe, text=True
        )
        assert ended.returncode == expected
        assert ended.stderr.count(str(SOCKET)) == 1


@pytest.mark.parametrize("asked", [0, 1])
def test_no_caller_can_name_the_descriptor_that_the_answer_comes_from(
    login_host: LoginHost, user: User, asked: int
) -> None:
    login_host.stop()
    SOCKET.unlink()
    ours, theirs = socket.socketpair()
    theirs.send(agent_line.encode(agent_line.OK, True, "totp", "phone", 0, 0, ""))
    ours.set_inheritable(True)
    name = agent.EARLY_CALL.decode()
    forged = {name: f"{ours.fileno()} {time.monotonic() + 60} {asked}"}  # never too old
    environment = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"} | forged
    verifier = subprocess.run([VERIFY], env=environment, input=b"123456", close_fds=False)
    assert verifier.returncode == REFUSED
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    ours.close()
    theirs.close()


def test_a_verifier_calls_before_it_reads_the_code(unconnected: LoginHost, user: User) -> None:
    reader, writer = os.pipe()
    environment = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"}
    dup = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writer)]
    verifier = os.posix_spawn(VERIFY, [VERIFY], environment, file_actions=dup)
    os.close(reader)
    try:
        wait_until(lambda: backends(unconnected.database))
    finally:
        os.close(writer)
    _, status = os.waitpid(verifier, 0)
    assert os.waitstatus_to_exitcode(status) == REFUSED
