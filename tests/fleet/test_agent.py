# SPDX-License-Identifier: MIT
"""The agent between a login host and its servers: faults of servers, and of who asks."""

import math
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from base64 import b32decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pam_totp.agent.program import parse
from pam_totp.fleet import agent_units
from pam_totp.records import fleet, fleet_of_commands
from pam_totp.rules.agent_line import ASK_SECONDS
from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from tests.fleet.database import Database, Person, wait_until
from tests.fleet.login_host import (
    HOST,
    SEEN_BY_AGENT,
    SEEN_BY_USERS_AGENT,
    SOCKET,
    USERS_SOCKET,
    LoginHost,
    wait_for_socket,
)
from tests.host.accounts import User

HOSTS = Path("/etc/hosts")
# How the store's function answers with a warning, as PostgreSQL does where a wait is cancelled.
RAISES = """\
CREATE OR REPLACE FUNCTION totp_api_1.standing(person text, OUT state text, OUT wait_seconds int)
LANGUAGE plpgsql AS $$ BEGIN RAISE {level} 'said so'; state := 'enrolled'; wait_seconds := 0; END $$
"""


def check(person: Person, code: str) -> str:
    """The reason of a verdict; for a store that does not answer, why."""
    try:
        return fleet.check(person.name, code, "sshd", "192.0.2.7").reason
    except Failure as failure:
        assert failure.reason == STORE_UNAVAILABLE
        return failure.detail


def stands(person: Person) -> str:
    """The state of a person; empty where the store does not answer."""
    try:
        return fleet.standing(person.name).state
    except Failure:
        return ""


@pytest.fixture
def person(database: Database) -> Person:
    return database.person()


@pytest.fixture
def definition(database: Database) -> Iterator[None]:
    """The function that a test replaces is put back."""
    before = "SELECT pg_get_functiondef('totp_api_1.standing'::regproc)"
    text = database.value(before)
    yield
    database.admin.execute(text)


def backends(database: Database) -> list[int]:
    """The server's processes for this host."""
    rows = database.admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", [HOST])
    return [pid for (pid,) in rows]


def postmaster(database: Database) -> int:
    return int((database.data / "postmaster.pid").read_text().split()[0])


def test_what_the_store_says_of_people_and_of_itself(
    login_host: LoginHost, person: Person, now: float
) -> None:
    database = login_host.database
    assert vars(fleet.standing(person.name)) == {
        "state": "enrolled",
        "wait_seconds": 0,
        "may_enroll": False,
    }
    stranger, enrolled = fleet_of_commands.standings(["nobody", person.name])
    assert (stranger.person, stranger.state, stranger.devices) == ("nobody", "not-enrolled", 0)
    assert (enrolled.person, enrolled.state, enrolled.devices) == (person.name, "enrolled", 1)
    database.value("SELECT totp_admin_1.reset(%s)", person.name)
    assert fleet.standing(person.name).state == fleet.RESET
    info = fleet_of_commands.info()
    assert (info.store, info.api, info.schema_version) == (login_host.store, 1, 1)
    assert info.server == f"127.0.0.1:{database.port}"
    assert info.release.startswith(database.version)


def test_names_and_answers_of_any_letters_are_values_and_no_sql(
    login_host: LoginHost, now: float
) -> None:
    odd = ["o'brien", "a,b", '{"x"}', "NULL", "\\", "größe", "x" * 255]
    for name in odd:
        login_host.database.person(name)
    assert [each.state for each in fleet_of_commands.standings(odd)] == ["enrolled"] * len(odd)
    assert fleet.standing("o'brien").state == "enrolled"
    with pytest.raises(Failure, match="cannot hold this user name"):
        fleet.standing("alice\udcff")


def test_a_thousand_people_are_asked_about_at_once(login_host: LoginHost, now: float) -> None:
    names = [f"nobody{number}" for number in range(1000)]
    assert {each.state for each in fleet_of_commands.standings(names)} == {"not-enrolled"}


def test_enrolling_with_an_invitation(login_host: LoginHost, now: float) -> None:
    invitation = login_host.database.value(
        "SELECT totp_admin_1.invite(%s, interval '1 day')", "newcomer"
    )
    with pytest.raises(Failure) as refused:
        fleet.enroll_begin("newcomer", "a" * 16, "phone")
    assert refused.value.reason == "not-enrolled"
    new = fleet.enroll_begin("newcomer", invitation, "phone")
    assert (new.algorithm, new.digits, new.period, new.replaces) == ("SHA1", 6, 30, False)
    phone = Person("newcomer", b32decode(new.secret))
    incorrect = fleet.enroll_confirm("newcomer", invitation, phone.incorrect_code(now))
    assert (incorrect.confirmed, incorrect.recovery_codes) == (False, [])
    confirmed = fleet.enroll_confirm("newcomer", invitation, phone.code(now))
    assert confirmed.confirmed
    assert len(confirmed.recovery_codes) == 10
    assert check(phone, phone.code(now)) == "reused-code"
    assert check(phone, phone.code(now, 1)) == "totp"


def test_without_an_invitation_nobody_enrolls_on_a_host_that_is_not_marked_for_it(
    login_host: LoginHost, now: float
) -> None:
    with pytest.raises(Failure) as refused:
        fleet.enroll_begin("stranger", "", "phone")
    assert refused.value.reason == "not-enrolled"


def test_a_connection_that_the_server_closed_costs_no_login(
    login_host: LoginHost, person: Person, now: float
) -> None:
    assert check(person, person.incorrect_code(now)) == "wrong-code"
    login_host.database.admin.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = %s", [HOST]
    )
    assert check(person, person.code(now)) == "totp"


def test_a_server_process_that_hangs_costs_that_login_alone(
    login_host: LoginHost, person: Person, now: float
) -> None:
    assert check(person, person.incorrect_code(now)) == "wrong-code"
    (hangs,) = backends(login_host.database)
    os.kill(hangs, signal.SIGSTOP)
    try:
        assert "did not answer in time" in check(person, person.incorrect_code(now))
        assert check(person, person.code(now)) == "totp"
    finally:
        os.kill(hangs, signal.SIGCONT)


def test_a_server_that_hangs_as_a_whole_is_no_yes_and_then_one(
    login_host: LoginHost, person: Person, now: float
) -> None:
    hangs = postmaster(login_host.database)
    os.kill(hangs, signal.SIGSTOP)
    try:
        assert "did not answer in time" in check(person, person.code(now))
        began = time.monotonic()
        with pytest.raises(Failure):
            fleet.standing(person.name)
        assert time.monotonic() - began < 1.5, "a question that only asks waits again"
    finally:
        os.kill(hangs, signal.SIGCONT)
    assert check(person, person.code(now)) == "totp"


@pytest.mark.usefixtures("definition")
@pytest.mark.parametrize("level", ["DEBUG", "LOG", "INFO", "NOTICE"])
def test_what_is_no_warning_is_passed_over(level: str, login_host: LoginHost) -> None:
    login_host.database.admin.execute(RAISES.format(level=level))
    login_host.database.admin.execute("GRANT EXECUTE ON FUNCTION totp_api_1.standing TO totp_host")
    assert fleet.standing("anybody").state == "enrolled"


@pytest.mark.usefixtures("definition")
@pytest.mark.parametrize("silenced", ["error", "warning"])
def test_an_answer_with_a_warning_is_none_whatever_the_role_has_set(
    silenced: str, login_host: LoginHost, database: Database
) -> None:
    database.admin.execute(RAISES.format(level="WARNING"))
    database.admin.execute("GRANT EXECUTE ON FUNCTION totp_api_1.standing TO totp_host")
    database.admin.execute(f"ALTER ROLE {HOST} SET client_min_messages = {silenced}")
    try:
        with pytest.raises(Failure, match="said so"):
            fleet.standing("anybody")
    finally:
        database.admin.execute(f"ALTER ROLE {HOST} RESET client_min_messages")


def has_waited_for_standby(database: Database) -> bool:
    """Whether a commit has just waited for one: those that connect know of a new setting at once,
    and commits wait once the checkpointer does."""
    cancel = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
        " WHERE wait_event = 'SyncRep' AND pid = %s"
    )
    has_waited = False
    with database.superuser() as other, ThreadPoolExecutor(1) as pool:
        probe = "SELECT pg_logical_emit_message(true, 'probe', '')"
        committed = pool.submit(other.execute, probe)
        while not committed.done():
            has_waited = bool(database.value(cancel, other.info.backend_pid)) or has_waited
    return has_waited


def test_a_wait_for_the_standby_that_somebody_cancels_is_no_yes(
    login_host: LoginHost, person: Person, now: float
) -> None:
    """PostgreSQL answers yes, with a warning: what a failover may lose."""
    admin = login_host.database.admin
    assert check(person, person.incorrect_code(now)) == "wrong-code"
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    admin.execute("SELECT pg_reload_conf()")
    cancel = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
        " WHERE wait_event = 'SyncRep' AND usename = %s"
    )
    try:
        wait_until(lambda: has_waited_for_standby(login_host.database))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(check, person, person.code(now))
            wait_until(lambda: login_host.database.value(cancel, HOST) or answer.done())
            assert "canceling wait for synchronous replication" in answer.result()
        # And with nobody who cancels: there is no answer in time.
        assert "did not answer in time" in check(person, person.code(now, 1))
    finally:
        admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        admin.execute("SELECT pg_reload_conf()")


@pytest.fixture
def hole() -> Iterator[str]:
    """An address where packets vanish: its queue is full, and nobody accepts."""
    sockets = []
    listener = socket.socket()
    listener.bind(("127.0.0.9", 0))
    listener.listen(0)
    sockets.append(listener)
    for _ in range(4):
        filling = socket.socket()
        filling.setblocking(False)
        filling.connect_ex(listener.getsockname())
        sockets.append(filling)
    yield str(listener.getsockname()[1])
    for each in sockets:
        each.close()


def test_packets_that_vanish_are_no_yes(
    login_host: LoginHost, person: Person, now: float, hole: str
) -> None:
    login_host.configure("127.0.0.9", hole)
    login_host.restart()
    assert "did not answer in time" in check(person, person.code(now))


@pytest.fixture
def far_away(database: Database) -> Iterator[str]:
    """The port of the same server behind a long line: each way takes a third of a second."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        try:
            while part := source.recv(65536):
                time.sleep(0.15)
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((database.address, database.port))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield str(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_server_far_away_costs_the_first_login_alone(
    login_host: LoginHost, person: Person, now: float, far_away: str
) -> None:
    """What is too late for one login is there for the next."""
    login_host.configure(ports=far_away)
    login_host.restart()
    assert "did not answer in time" in check(person, person.code(now))
    wait_until(lambda: stands(person))
    assert check(person, person.code(now)) == "totp"


@pytest.mark.parametrize("dead", ["vanish", "refused", "no name", "a name that hangs"])
def test_a_dead_server_before_the_primary_costs_nothing(
    dead: str, login_host: LoginHost, person: Person, now: float, hole: str
) -> None:
    first = {
        "vanish": ("127.0.0.9", hole),
        "refused": ("127.0.0.1", "1"),
        "no name": ("nowhere.invalid", "5432"),
        "a name that hangs": ("hangs.example.org", "5432"),
    }[dead]
    database = login_host.database
    login_host.configure(f"{first[0]},{database.address}", f"{first[1]},{database.port}")
    resolver = Path("/etc/resolv.conf")
    before = resolver.read_bytes() if resolver.exists() else b""
    if dead == "a name that hangs":
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.53", 53))
        resolver.write_text("nameserver 127.0.0.53\n")
    try:
        login_host.restart()
        assert check(person, person.code(now)) == "totp"
    finally:
        resolver.write_bytes(before)


def test_a_server_that_only_reads_is_not_asked(
    login_host: LoginHost, person: Person, now: float
) -> None:
    """As a standby that nobody has promoted, and a primary that its administrator has stopped."""
    admin = login_host.database.admin
    admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    admin.execute("SELECT pg_reload_conf()")
    try:
        login_host.restart()
        assert "session is read-only" in check(person, person.code(now))
    finally:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("RESET default_transaction_read_only")
    assert check(person, person.code(now)) == "totp"


@pytest.mark.parametrize("method", ["trust", "password"])
def test_an_impostor_that_does_not_know_the_verifier_is_not_believed(
    method: str, login_host: LoginHost, person: Person, now: float
) -> None:
    """It has a certificate, and lets everybody in; or it asks for the password itself."""
    access = login_host.database.configuration / "pg_hba.conf"
    before = access.read_text()
    access.write_text(before.replace("all scram-sha-256", f"all {method}"))
    login_host.database.control("reload")
    try:
        login_host.restart()
        assert "channel binding" in check(person, person.code(now))
    finally:
        access.write_text(before)
        login_host.database.control("reload")


def test_a_store_without_the_functions_of_this_release_says_what_to_do(
    login_host: LoginHost, person: Person, now: float
) -> None:
    admin = login_host.database.admin
    admin.execute("ALTER SCHEMA totp_api_1 RENAME TO totp_api_0")
    try:
        login_host.restart()
        assert "upgrade the database servers" in check(person, person.code(now))
    finally:
        admin.execute("ALTER SCHEMA totp_api_0 RENAME TO totp_api_1")


def send(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(path))
        peer.sendall(line)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while part := peer.recv(65536):
            answer += part
        return answer


GARBAGE = {
    "nothing": b"",
    "half a line": b"check\0alice\x00123456",
    "an empty line": b"\n",
    "another verb": b"drop\0alice\n",
    "too few fields": b"check\0alice\n",
    "too many fields": b"standing\0alice\0bob\n",
    "no name": b"standing\0\n",
    "not UTF-8": b"standing\0\xff\n",
    "two lines": b"standing\0alice\nstanding\0alice\n",
    "too long": b"standing\0" + b"a" * 5000 + b"\n",
    "too many people": b"standings" + b"\0a" * 1001 + b"\n",
    "zeros": bytes(1000) + b"\n",
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_answered_as_unavailable(garbage: str, login_host: LoginHost) -> None:
    answer = send(SOCKET, GARBAGE[garbage])
    assert answer.startswith(b"unavailable\0")
    assert answer.endswith(b"\n")


def test_a_line_without_an_end_is_not_read_for_ever(login_host: LoginHost) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(SOCKET))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                peer.sendall(b"a" * 65536)


def test_silent_peers_keep_no_login_waiting(
    login_host: LoginHost, person: Person, now: float
) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for each in silent:
            each.connect(str(SOCKET))
        assert check(person, person.code(now)) == "totp"
    finally:
        for each in silent:
            each.close()


ASKS = """\
import socket, sys
peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1])
peer.sendall(sys.argv[2].replace("|", "\\0").encode() + b"\\n")
print(peer.recv(4096).decode().replace("\\0", "|"), end="")
"""


ABOUT_OTHERS = "unavailable|pam-totp-agent answers users only about themselves\n"


def ask_as(user: User, line: str, path: Path = USERS_SOCKET) -> str:
    return user.run_as("/usr/bin/python3", "-c", ASKS, str(path), line).stdout


def test_what_the_store_cannot_do_for_one_it_does_for_others(
    login_host: LoginHost, person: Person, now: float, definition: None
) -> None:
    """As where a stolen host keeps a person's row locked: the store is not away for all."""
    login_host.database.admin.execute(
        "CREATE OR REPLACE FUNCTION"
        " totp_api_1.standing(person text, OUT state text, OUT wait_seconds int)"
        " LANGUAGE plpgsql AS $$ BEGIN"
        " IF person = 'locked' THEN RAISE 'locked' USING ERRCODE = 'lock_not_available'; END IF;"
        " state := 'enrolled'; wait_seconds := 0; END $$"
    )
    with pytest.raises(Failure, match="55P03"):
        fleet.standing("locked")
    assert stands(person) == "enrolled"


def test_only_root_may_ask_roots_agent(login_host: LoginHost, user: User) -> None:
    SOCKET.chmod(0o666)
    SOCKET.parent.chmod(0o711)
    try:
        assert ask_as(user, f"standing|{user.name}", SOCKET) == ABOUT_OTHERS
    finally:
        SOCKET.parent.chmod(0o700)


def test_users_learn_of_themselves_alone(login_host: LoginHost, user: User, now: float) -> None:
    login_host.start_for_users()
    person = login_host.enroll(user)
    login_host.database.person("somebody")
    assert ask_as(user, f"standing|{user.name}") == "ok|enrolled|0|f\n"
    assert ask_as(user, f"standings|{user.name}") == "ok|enrolled|0|1|0\n"
    assert ask_as(user, "info").startswith("ok|")
    for line in (
        "standing|somebody",
        f"standings|{user.name}|somebody",
        "enroll-begin|somebody||phone",
        "enroll-confirm|somebody||123456",
        f"check|{user.name}|{person.code(now)}|sshd|",
        f"check-counted|{user.name}|{person.code(now)}|sshd||1",
        f"count-sent|{user.name}|sshd|",
        f"take-back|1|{user.name}",
    ):
        assert (
            ask_as(user, line) == "unavailable|pam-totp-agent answers users only about themselves\n"
        )


def test_a_flood_of_users_keeps_no_login_waiting(
    login_host: LoginHost, user: User, person: Person, now: float
) -> None:
    login_host.start_for_users()
    flood = (
        "import socket, time\nheld = []\n"
        "for _ in range(100):\n"
        f"    s = socket.socket(socket.AF_UNIX); s.setblocking(False)\n"
        f"    s.connect_ex({str(USERS_SOCKET)!r}); held.append(s)\n"
        "print(flush=True)\ntime.sleep(60)\n"
    )
    flooding = subprocess.Popen(
        user.command(["/usr/bin/python3", "-c", flood]), stdout=subprocess.PIPE
    )
    try:
        assert flooding.stdout is not None
        flooding.stdout.readline()
        assert check(person, person.code(now)) == "totp"
    finally:
        flooding.kill()
        flooding.wait()


def test_users_who_hold_the_socket_keep_no_other_user_waiting(
    login_host: LoginHost, user: User, make_user: Callable[..., User], now: float
) -> None:
    """Connected again and again as soon as the agent gives up: far more than it serves at once."""
    login_host.start_for_users()
    login_host.enroll(user)
    holding = (
        "import socket, time\nheld = []\n"
        "while True:\n"
        "    held = held[-200:]\n"
        "    s = socket.socket(socket.AF_UNIX); s.setblocking(False)\n"
        f"    s.connect_ex({str(USERS_SOCKET)!r}); held.append(s)\n"
        "    time.sleep(0.01)\n"
    )
    others = [make_user(f"holder{number}") for number in range(3)]
    running = [
        subprocess.Popen(other.command(["/usr/bin/python3", "-c", holding])) for other in others
    ]
    try:
        time.sleep(1)
        for _ in range(5):
            began = time.monotonic()
            assert ask_as(user, f"standing|{user.name}") == "ok|enrolled|0|f\n"
            assert time.monotonic() - began < ASK_SECONDS
    finally:
        for each in running:
            each.kill()
            each.wait()


def test_sigterm_lets_what_has_begun_come_to_its_end(
    login_host: LoginHost, person: Person, now: float
) -> None:
    agent = login_host.restart()
    assert check(person, person.incorrect_code(now)) == "wrong-code"
    (slow,) = backends(login_host.database)
    os.kill(slow, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(check, person, person.code(now))
        wait_until(lambda: len(os.listdir(f"/proc/{agent.pid}/task")) > 1)
        agent.terminate()
        os.kill(slow, signal.SIGCONT)
        assert answer.result() == "totp"
    assert agent.wait(10) == 0


def test_agents_that_are_started_by_hand_answer_root_and_users(
    login_host: LoginHost, user: User
) -> None:
    """By the commands that `store join` shows where no systemd runs, on a machine as it has booted:
    the folders are not there."""
    login_host.stop()
    login_host.enroll(user)
    for folder in (SOCKET.parent, SEEN_BY_AGENT, SEEN_BY_USERS_AGENT):
        shutil.rmtree(folder, ignore_errors=True)
    running = []
    try:
        for line in agent_units.BY_HAND:
            command = shlex.split(line)
            assert command.pop() == "&"
            assert parse(command[1:]).idle == math.inf  # nobody would start it again
            running.append(subprocess.Popen(command))
        for path in (SOCKET, USERS_SOCKET):
            wait_for_socket(path)
        assert fleet.standing(user.name).state == "enrolled"
        assert ask_as(user, f"standing|{user.name}") == "ok|enrolled|0|f\n"
        assert ask_as(user, f"standing|{user.name}", SOCKET) == ""
        assert (SEEN_BY_AGENT / "seen").exists() and (SEEN_BY_USERS_AGENT / "seen").exists()
    finally:
        for agent in running:
            agent.kill()
            agent.wait()


def test_an_agent_without_work_ends(login_host: LoginHost) -> None:
    login_host.stop()
    assert login_host.start("--idle", "0.3").wait(20) == 0


def test_no_more_connections_are_open_than_a_host_may_have(
    login_host: LoginHost, now: float
) -> None:
    login_host.start_for_users()
    people = [login_host.database.person() for _ in range(24)]
    with ThreadPoolExecutor(24) as pool:
        reasons = list(pool.map(lambda each: check(each, each.code(now)), people))
    assert reasons == ["totp"] * 24
    assert 1 <= len(backends(login_host.database)) <= 3
