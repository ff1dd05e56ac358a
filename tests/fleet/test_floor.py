# SPDX-License-Identifier: MIT
"""A server that may have forgotten what the one before it accepted: promoted, restored, rewound. It
refuses every step that the other one could have accepted, and says so."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fleet.database import (
    FAST,
    PORTS,
    SOCKETS,
    Cluster,
    Connection,
    Database,
    Person,
    check,
    run,
)

HELLO = "SELECT epoch, incarnation, enrolled_count, enrolled_before FROM totp_api_1.hello(0, '1')"


@pytest.fixture(autouse=True)
def new_incarnation(database: Database, now: float) -> Iterator[None]:
    yield
    database.admin.execute(
        "UPDATE totp.store SET incarnation = totp.incarnation(), no_step_before = 0, epoch = 1"
    )


def forget(database: Database) -> None:
    """As if another server had written what is in the database."""
    database.admin.execute("UPDATE totp.store SET incarnation = 'another server'")


def test_a_new_server_refuses_the_steps_that_the_one_before_may_have_accepted(
    database: Database, now: float
) -> None:
    """Rule 46. The clock of the one before may have been ten seconds ahead."""
    who = database.person()
    forget(database)
    with database.connect() as host:
        answers = [check(host, who.name, who.code(now, steps))[1] for steps in (-1, 0, 1)]
        assert answers == ["store-promoted"] * 3
        tried = database.value("SELECT in_a_row FROM totp.person WHERE name = %s", who.name)
        assert tried == 0  # all tries are taken back
        step = now // 30 * 30
        at = database.freeze_clock(step + 30)
        assert check(host, who.name, who.code(at))[1] == "store-promoted"
        assert check(host, who.name, who.code(at, 1))[1] == "totp"


@pytest.mark.parametrize(("second", "waits"), [(0, 60), (19, 41), (20, 70), (29, 61)])
def test_a_phone_whose_clock_is_right_waits_for_40_to_70_seconds(
    database: Database, now: float, second: int, waits: int
) -> None:
    who = database.person()
    start = database.freeze_clock(now // 30 * 30 + second)
    forget(database)
    with database.connect() as host:
        host.execute(HELLO)
        before = database.freeze_clock(start + waits - 0.1)
        assert check(host, who.name, who.code(before))[1] == "store-promoted"
        after = database.freeze_clock(start + waits)
        assert check(host, who.name, who.code(after))[1] == "totp"
    query = "SELECT extract(epoch FROM refuses_until)::float8 FROM totp_admin_1.store()"
    until = database.value(query)
    assert until == start + waits


def test_other_periods_and_offsets_are_refused_as_long(database: Database, now: float) -> None:
    minute = database.person(period=60)
    token = Person("ahead", bytes(range(20)))
    database.admin.execute(
        "SELECT totp_admin_1.import_credential('ahead', %s, 'sha1', 6, 30, 3, 'token', -1)",
        [token.secret],
    )
    forget(database)
    with database.connect() as host:
        assert check(host, minute.name, minute.code(now, 1))[1] == "store-promoted"
        assert check(host, token.name, token.code(now, 4))[1] == "store-promoted"
        at = database.freeze_clock(now + 120)
        assert check(host, minute.name, minute.code(at))[1] == "totp"
        assert check(host, token.name, token.code(at, 3))[1] == "totp"


def test_an_incorrect_code_counts_meanwhile(database: Database, now: float) -> None:
    who = database.person()
    forget(database)
    with database.connect() as host:
        reasons = [check(host, who.name, who.incorrect_code(now))[1] for _ in range(6)]
    assert reasons == ["wrong-code"] * 5 + ["throttled"]


def test_nobody_can_take_back_that_a_server_is_new(database: Database, now: float) -> None:
    """A stolen host that rolls back, or a row that is locked: the codes are refused."""
    who = database.person()
    forget(database)
    with database.connect() as host, database.superuser() as root:
        with host.transaction(force_rollback=True):
            host.execute("SELECT totp_api_1.submit('x', '000000', '', '')")
        with root.transaction():
            root.execute("SELECT FROM totp.store FOR UPDATE")
            assert check(host, who.name, who.code(now))[1] == "store-promoted"
        assert check(host, who.name, who.code(now))[1] == "store-promoted"
        at = database.freeze_clock(now + 75)
        assert check(host, who.name, who.code(at))[1] == "totp"


def test_hosts_learn_what_the_store_has_forgotten(database: Database, now: float) -> None:
    database.person()
    with database.connect() as host:
        epoch, incarnation, count, before = row(host)
        assert (epoch, before <= count) == (1, True)
        forget(database)
        epoch, another, *counts = row(host)
        assert (epoch, another != incarnation, counts) == (1, True, [count, count])
        database.person()
        assert row(host) == (1, another, count + 1, count)


def test_restored_is_said_by_an_administrator(database: Database, now: float) -> None:
    """No server can notice that its machine's snapshot was reverted."""
    who = database.person()
    codes = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    with database.connect() as host:
        database.value("SELECT totp_admin_1.restored(false)")
        epoch, _, count, before = row(host)
        assert (epoch, before) == (2, count)
        assert check(host, who.name, who.code(now))[1] == "store-promoted"
        assert check(host, who.name, codes[0])[1] == "recovery-code"
        database.value("SELECT totp_admin_1.restored(true)")
        assert check(host, who.name, codes[1])[5] == "no recovery codes"


def test_a_clock_that_was_ahead_at_a_failover_refuses_all_only_until_restored_is_said(
    database: Database, now: float
) -> None:
    """Until that time comes, which may be in years, no code would be accepted."""
    who = database.person()
    was_ahead = "SELECT clock_was_ahead FROM totp_admin_1.store()"
    with database.connect() as host:
        database.freeze_clock(now + 86400 * 365)
        forget(database)
        host.execute(HELLO)
        assert database.value(was_ahead) is False
        later = database.freeze_clock(now + 75)
        assert check(host, who.name, who.code(later))[1] == "store-promoted"
        assert database.value(was_ahead) is True
        database.value("SELECT totp_admin_1.restored(false)")
        assert check(host, who.name, who.code(later))[1] == "store-promoted"
        assert database.value(was_ahead) is False
        at = database.freeze_clock(later + 75)
        assert check(host, who.name, who.code(at))[1] == "totp"


@pytest.mark.parametrize("way", [["-d", "postgres", "--create"], ["-d", "pam_totp"]])
def test_a_store_that_was_restored_into_the_same_server_notices_it(
    database: Database, now: float, way: list[str]
) -> None:
    """From a dump, under the same name: the server and its timeline are the same."""
    who = database.person()
    options = ["-h", str(SOCKETS), "-p", str(database.port), "-U", "postgres"]
    run("pg_dump", *options, "-Fc", "-f", "/tmp/store.dump", "pam_totp")
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "totp"
    database.admin.close()
    run("pg_restore", *options, *way, "--clean", "--if-exists", "/tmp/store.dump")
    database.admin = database.superuser()
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "store-promoted"
    # What was closed is closed again, and the settings are there.
    for function in ("pg_notify(text, text)", "lo_create(oid)", "pg_advisory_lock(bigint)"):
        is_open = "SELECT has_function_privilege('totp_host', %s, 'EXECUTE')"
        assert database.value(is_open, function) is False
    assert database.value("SHOW log_parameter_max_length") == "0"


def test_a_standby_that_is_promoted_accepts_no_code_twice(database: Database, now: float) -> None:
    who, other = database.person(), database.person()
    database.connect().close()  # there is a host
    standby = standby_of(database)
    try:
        with database.connect() as host:
            assert check(host, who.name, who.code(now))[1] == "totp"
            assert check(host, other.name, other.code(now, 1))[1] == "totp"
        standby.control("promote", "--", "--wait")
        promoted = Database(name=standby.name, port=standby.port)
        promoted.admin, promoted.passwords = promoted.superuser(), database.passwords
        with promoted.connect() as host:
            # What the primary had not sent yet is not known here: as if nothing had been.
            promoted.admin.execute("UPDATE totp.credential SET last_step = -1")
            assert check(host, who.name, who.code(now))[1] == "store-promoted"
            assert check(host, other.name, other.code(now, 1))[1] == "store-promoted"
            at = promoted.freeze_clock(now + 75)
            assert check(host, who.name, who.code(at))[1] == "totp"
        promoted.admin.close()
    finally:
        standby.drop()


def standby_of(database: Database) -> Cluster:
    """A standby that runs, and has all that the primary had until now."""
    number = next(PORTS)
    standby = Cluster(name=f"standby{number}", port=number)
    standby.create()
    shutil.rmtree(standby.data)
    source = f"host={SOCKETS} port={database.port} user=postgres"
    copied = subprocess.run(
        [
            *("runuser", "-u", "postgres", "--", "pg_basebackup", "-R", "--no-sync", "-c", "fast"),
            *("-d", source, "-D", str(standby.data)),
        ],
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert copied.returncode == 0, copied.stderr
    standby.configure(FAST)
    standby.control("start")
    return standby


def row(host: Connection) -> tuple[Any, ...]:
    """epoch, incarnation, enrolled_count, enrolled_before."""
    found = host.execute(HELLO).fetchone()
    assert found is not None
    return found
