# SPDX-License-Identifier: MIT
"""The few connections of a login host, in this process: what is kept, for how long, and what is
asked before a code is sent."""

import os
import signal
import time
from pathlib import Path

import pytest

from pam_totp.agent import pool as pools
from pam_totp.agent import statements
from pam_totp.agent.conninfo import read_store
from pam_totp.agent.outcome import Unavailable
from pam_totp.agent.pool import Pool
from pam_totp.agent.seen import Seen
from pam_totp.records.host import outage
from pam_totp.rules.reasons import Failure
from tests.fleet.database import wait_until
from tests.fleet.login_host import HOST, LoginHost
from tests.fleet.test_agent import backends
from tests.host.programs import STATE


@pytest.fixture
def pool(login_host: LoginHost, tmp_path: Path) -> Pool:
    """Of two connections; the host's own agent is stopped."""
    login_host.stop()
    login_host.database.admin.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = %s", [HOST]
    )
    store = read_store()
    return Pool(store, Seen(str(tmp_path), store.id), 2, "test")


def ask(pool: Pool, seconds: float = 5.0) -> str:
    """How a stranger stands."""
    until = time.monotonic() + seconds
    with pool.connection(until) as (connection, hello):
        return str(statements.standing(connection, hello, ["stranger"], until)[0])


def test_a_connection_is_kept_and_used_again(login_host: LoginHost, pool: Pool) -> None:
    assert ask(pool) == "not-enrolled"
    first = backends(login_host.database)
    assert ask(pool) == "not-enrolled"
    assert backends(login_host.database) == first


def test_of_idle_connections_one_is_kept_and_then_none(
    login_host: LoginHost, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = time.monotonic() + 5
    with pool.connection(until), pool.connection(until):
        assert len(backends(login_host.database)) == 2
    pool.close_idle()
    assert len(backends(login_host.database)) == 2
    monkeypatch.setattr(pools, "SECONDS_IDLE", 0.0)
    pool.close_idle()
    wait_until(lambda: len(backends(login_host.database)) == 1)
    monkeypatch.setattr(pools, "SECONDS_LAST_IDLE", 0.0)
    pool.close_idle()
    wait_until(lambda: not backends(login_host.database))
    assert ask(pool) == "not-enrolled"


def test_who_waits_longer_than_may_be_for_a_connection_is_told_so(
    login_host: LoginHost, pool: Pool
) -> None:
    until = time.monotonic() + 5
    with (
        pool.connection(until),
        pool.connection(until),
        pytest.raises(Unavailable, match="all connections of this host are in use"),
    ):
        ask(pool, 0.1)
    assert ask(pool) == "not-enrolled"


def test_a_server_that_hangs_since_the_last_question_costs_no_code(
    login_host: LoginHost, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is asked hello first, which can be asked again on a new connection."""
    assert ask(pool) == "not-enrolled"
    (hangs,) = backends(login_host.database)
    os.kill(hangs, signal.SIGSTOP)
    try:
        monkeypatch.setattr(pools, "SECONDS_GREETED", 0.0)
        assert ask(pool) == "not-enrolled"
    finally:
        os.kill(hangs, signal.SIGCONT)


def test_the_store_learns_when_a_host_was_last_seen(login_host: LoginHost, pool: Pool) -> None:
    ask(pool)
    query = "SELECT release, abs(clock_difference) < 60 FROM totp.host WHERE name = %s"
    assert login_host.database.admin.execute(query, [HOST]).fetchone() == ("test", True)


def test_a_record_of_what_was_seen_that_is_malformed_believes_nobody_to_be_not_enrolled(
    login_host: LoginHost, tmp_path: Path
) -> None:
    login_host.stop()
    store = read_store()
    (tmp_path / "seen").write_text("nonsense\n")
    assert ask(Pool(store, Seen(str(tmp_path), store.id), 2, "test")) == "disbelieved"
    assert (tmp_path / "seen").read_text() == "nonsense\n"


def test_a_store_that_the_host_joined_later_is_believed(
    login_host: LoginHost, tmp_path: Path
) -> None:
    login_host.stop()
    store = read_store()
    (tmp_path / "seen").write_text(f"pam-totp seen 1 {'0' * 32} 9 999 another\n")
    assert ask(Pool(store, Seen(str(tmp_path), store.id), 2, "test")) == "not-enrolled"
    assert store.id in (tmp_path / "seen").read_text()


@pytest.mark.parametrize("content", [b"nonsense", b"pam-totp outage 1 zz\n\xff\n", b"", b"\n"])
def test_outage_codes_that_are_malformed_accept_nobody(
    content: bytes, login_host: LoginHost
) -> None:
    code, *_ = outage.new_codes()
    (STATE / "outage" / "codes").write_bytes(content)
    with pytest.raises(Failure, match="is malformed"):
        outage.use_up(code)


def test_a_host_without_outage_codes_accepts_none(login_host: LoginHost) -> None:
    assert not outage.use_up("a" * 16)
    assert outage.left() == 0


def test_a_question_that_is_prepared_for_finds_an_open_connection(
    login_host: LoginHost, pool: Pool
) -> None:
    pool.prepare(time.monotonic() + 5)
    first = backends(login_host.database)
    assert len(first) == 1
    assert ask(pool) == "not-enrolled"
    assert backends(login_host.database) == first


def test_a_connection_that_hangs_is_found_before_the_question(
    login_host: LoginHost, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(pool) == "not-enrolled"
    (hangs,) = backends(login_host.database)
    monkeypatch.setattr(pools, "SECONDS_GREETED", 0.0)
    os.kill(hangs, signal.SIGSTOP)
    try:
        pool.prepare(time.monotonic() + 5)
        monkeypatch.setattr(pools, "SECONDS_GREETED", 60.0)
        assert ask(pool) == "not-enrolled"  # on the old one, nobody would answer
    finally:
        os.kill(hangs, signal.SIGCONT)


def test_nothing_is_prepared_while_others_ask(login_host: LoginHost, pool: Pool) -> None:
    until = time.monotonic() + 5
    with pool.connection(until):
        pool.prepare(until)
        assert len(backends(login_host.database)) == 1


def test_what_cannot_be_prepared_is_tried_again(login_host: LoginHost, pool: Pool) -> None:
    login_host.database.control("stop", "-m", "immediate")
    try:
        pool.prepare(time.monotonic() + 5)
    finally:
        login_host.database.control("start")
        login_host.database.admin = login_host.database.superuser()
    assert ask(pool) == "not-enrolled"
