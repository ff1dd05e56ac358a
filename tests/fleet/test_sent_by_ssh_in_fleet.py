# SPDX-License-Identifier: MIT
"""Codes that are sent, over real ssh, where the users' secrets are in the store of a fleet: by a
program of root's, with a real agent and a real server, which is lost in between."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fleet.database import Cluster, Database, run
from tests.fleet.login_host import LoginHost
from tests.fleet.test_login_in_fleet import AWAY
from tests.fleet.test_sent_in_fleet import tries
from tests.host.accounts import User
from tests.host.programs import CONFIGURATION
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.sending.outbox import (
    CODE,
    NUMBER,
    SENDS,
    SHOWN_NUMBER,
    forget_limits,
    give_contact,
    logged,
)
from tests.trial.change_host import wait_until

Converse = Callable[..., Conversation]
PASSWORD, PROMPT = "Password: ", "Verification code: "
PROGRAM, SENT = Path("/usr/local/sbin/gateway"), Path("/run/gateway/sent")


@pytest.fixture(autouse=True)
def program(login_host: LoginHost, user: User) -> Iterator[None]:
    """A rule that accepts every method, and a program that sends text messages."""
    forget_limits()
    give_contact(user, ("sms", NUMBER))
    SENT.parent.mkdir()
    SENT.parent.chmod(0o777)  # the program runs as an account of its own
    PROGRAM.write_text(f"#!/bin/sh\ncat >{SENT}.new && mv {SENT}.new {SENT}\n")
    PROGRAM.chmod(0o755)
    CONFIGURATION.write_text(f"store: postgresql\nsend: {{sms: {PROGRAM}}}\n{SENDS}")
    yield
    PROGRAM.unlink()
    shutil.rmtree(SENT.parent)
    forget_limits()


def code_sent() -> str:
    """The one in the message that the program was given, which is forgotten here."""
    wait_until(SENT.exists, 10)
    (code,) = set(CODE.findall(SENT.read_text()))
    SENT.unlink()
    return str(code)


def test_a_user_whom_the_store_does_not_know_logs_in_by_a_code_that_was_sent(
    login_host: LoginHost, user: User, log_in: Converse, syslog: SystemLog
) -> None:
    used: list[str] = []

    def typed(_screen: str) -> str:
        used.append(code_sent())
        return used[0]

    done = log_in(user, [(PASSWORD, user.password), (PROMPT, typed)])
    assert done.status == 0
    assert f"A code is on its way to {SHOWN_NUMBER}." in done.transcript
    again = log_in(user, [(PASSWORD, user.password), *[(PROMPT, lambda _: used[0])] * 3])
    assert again.status == 255
    assert [each["reason"] for each in logged(syslog, user)] == [
        "sent-code",
        "sent-code",
        "sent-code",
        "wrong-code",  # the module asks for no verdict on the same answer again
    ]
    row = tries(login_host.database, user)
    assert row is not None
    assert row[0] == 1


def test_a_user_with_an_app_asks_for_a_code_and_logs_in_by_it(
    login_host: LoginHost, user: User, log_in: Converse
) -> None:
    login_host.enroll(user)
    tried = [(PROMPT, "sms"), (PROMPT, lambda _: code_sent())]
    assert log_in(user, [(PASSWORD, user.password), *tried]).status == 0
    row = tries(login_host.database, user)
    assert row is not None
    assert row[0] == 0


def test_a_server_that_is_killed_before_the_code_is_typed_accepts_none_until_it_is_back(
    login_host: LoginHost, user: User, log_in: Converse
) -> None:
    database = login_host.database
    codes: list[str] = []

    def killed(_screen: str) -> str:
        codes.append(code_sent())
        database.control("stop", "-m", "immediate")
        return codes[0]

    def started(screen: str) -> str:
        assert AWAY.strip() in screen
        database.control("start")
        database.admin = database.superuser()
        return f"{codes[0][:4]} {codes[0][4:]}"  # the same answer would not be looked at again

    try:
        done = log_in(user, [(PASSWORD, user.password), (PROMPT, killed), (PROMPT, started)])
    finally:
        if database.admin.broken:
            database.control("start")
            database.admin = database.superuser()
    assert done.status == 0


def test_after_a_failover_a_code_that_was_sent_before_is_accepted_once(
    database: Database, login_host: LoginHost, user: User, log_in: Converse, syslog: SystemLog
) -> None:
    """No other server could have accepted it: it is of this host and this login. What was counted
    at the one before is counted at the new one."""
    standby = Cluster(name="standby", port=database.port + 500)
    standby.create()
    codes: list[str] = []

    def promoted(_screen: str) -> str:
        codes.append(code_sent())
        return f"{(int(codes[0]) + 1) % 10**8:08}"  # counted at the first server

    def at_the_new_one(_screen: str) -> str:
        # What is counted is committed without a wait for the disk, so a crash may forget it.
        database.admin.execute("CHECKPOINT")
        wait_until(
            lambda: database.value(
                "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication"
            )
        )
        database.control("stop", "-m", "immediate")
        standby.control("promote")
        wait_until(lambda: not is_in_recovery(standby))
        return codes[0]

    try:
        copy(database, standby)
        login_host.configure(
            hosts=f"{database.address},{standby.address}",
            ports=f"{database.port},{standby.port}",
        )
        login_host.restart()
        trying = [(PROMPT, promoted), (PROMPT, at_the_new_one)]
        done = log_in(user, [(PASSWORD, user.password), *trying])
        assert done.status == 0, logged(syslog, user)
        with standby.superuser() as admin:
            query = "SELECT in_a_row FROM totp.person WHERE name = %s"
            assert admin.execute(query, [user.name]).fetchone() == (1,)
    finally:
        standby.drop()
        if database.admin.broken or database.admin.closed:
            database.control("start")
            database.admin = database.superuser()


def is_in_recovery(cluster: Cluster) -> bool:
    with cluster.superuser() as admin:
        row = admin.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def copy(database: Database, standby: Cluster) -> None:
    """Makes the second cluster a standby of the first, and waits until it follows."""
    run("rm", "-rf", str(standby.data))
    run(
        *("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"),
        *("pg_basebackup", "-h", "/var/run/postgresql", "-p", str(database.port)),
        *("-U", "postgres", "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast"),
    )
    standby.control("start")
    wait_until(lambda: database.value("SELECT count(*) FROM pg_stat_replication") == 1)
