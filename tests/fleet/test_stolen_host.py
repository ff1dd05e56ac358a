# SPDX-License-Identifier: MIT
"""What the role of a login host can do: call the functions of the store, and nothing else."""

import base64
import random
import time

import psycopg
import pytest

from pam_totp.errors import Error
from pam_totp.fleet import hosts, servers
from tests.fleet.database import NAMES, Connection, Database, check
from tests.fleet.test_store_enrolling import begin, confirm

DENIED = ("42501",)  # insufficient_privilege
REFUSED = {
    # What the store holds.
    "SELECT * FROM totp.credential": DENIED,
    "SELECT last_step FROM totp.credential": DENIED,
    "SELECT * FROM totp.person": DENIED,
    "SELECT * FROM totp.attempt": DENIED,
    "SELECT * FROM totp.recovery_code": DENIED,
    "SELECT * FROM totp.invitation": DENIED,
    "SELECT * FROM totp.setting": DENIED,
    "SELECT * FROM totp.store": DENIED,
    "SELECT * FROM totp.key_check": DENIED,
    "SELECT * FROM totp.enrolled": DENIED,
    "UPDATE totp.credential SET last_step = 0": DENIED,
    "COPY totp.credential TO STDOUT": DENIED,
    "BEGIN; LOCK TABLE totp.person": DENIED,
    "SELECT last_value FROM totp.attempt_id_seq": DENIED,
    "SELECT nextval('totp.attempt_id_seq')": DENIED,
    # What its functions are made of.
    "SELECT totp.clock()": DENIED,
    "SELECT totp.hotp('', 1, 6, 'sha1')": DENIED,
    "SELECT totp.key_file(1)": DENIED,
    "SELECT totp.key_for('encryption', 1)": DENIED,
    "SELECT totp.unseal('', '', 1)": DENIED,
    "SELECT totp.end_stalled_hosts()": DENIED,
    "SELECT totp_crypto.hmac('a', 'b', 'sha1')": DENIED,
    "CREATE OR REPLACE FUNCTION totp.clock() RETURNS float8 LANGUAGE sql AS 'SELECT 0'": DENIED,
    # What administrators call.
    "SELECT totp_admin_1.invite('alice', '1 day')": DENIED,
    "SELECT totp_admin_1.people()": DENIED,
    "SELECT totp_admin_1.reset('alice')": DENIED,
    "SELECT totp_admin_1.hosts()": DENIED,
    "SELECT totp_admin_1.restored(true)": DENIED,
    # The server's files, programs and other databases.
    "SELECT pg_read_file('/etc/passwd')": DENIED,
    "SELECT pg_read_binary_file('/etc/pam-totp/fleet-key.1')": DENIED,
    "SELECT pg_ls_dir('/')": DENIED,
    "COPY (SELECT 1) TO '/tmp/x'": DENIED,
    "COPY (SELECT 1) TO PROGRAM 'id'": DENIED,
    "LOAD 'auto_explain'": DENIED,
    "CREATE DATABASE x": DENIED,
    "CREATE EXTENSION dblink SCHEMA totp_api_1": DENIED,
    # Something of its own.
    "CREATE TEMP TABLE x (a int)": DENIED,
    "CREATE TABLE public.x (a int)": DENIED,
    "CREATE TABLE totp_api_1.x (a int)": DENIED,
    "CREATE SCHEMA x": DENIED,
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'": DENIED,
    "DO $$ BEGIN END $$": DENIED,
    "CREATE ROLE x": DENIED,
    "CREATE PUBLICATION x": DENIED,
    # To be another one.
    "SET ROLE totp_owner": DENIED,
    "SET ROLE totp_admin": DENIED,
    "SET SESSION AUTHORIZATION postgres": DENIED,
    "ALTER ROLE web07 SUPERUSER": DENIED,
    "ALTER ROLE web07 CONNECTION LIMIT 1000": DENIED,
    "ALTER ROLE totp_host SET lock_timeout = 0": DENIED,
    "GRANT totp_admin TO web07": DENIED,
    # What would fill the disk, the WAL or the table of locks.
    "SELECT lo_create(0)": DENIED,
    "SELECT lo_from_bytea(0, 'x')": DENIED,
    "SELECT pg_logical_emit_message(false, 'x', 'y')": DENIED,
    "SELECT pg_notify('x', 'y')": DENIED,
    "SELECT pg_stat_get_backend_client_addr(1)": DENIED,
    "SELECT pg_stat_get_backend_activity(1)": DENIED,
    "SELECT pg_advisory_lock(1)": DENIED,
    "SELECT pg_try_advisory_xact_lock_shared(1, 2)": DENIED,
    "SELECT pg_export_snapshot()": DENIED,
    "SET temp_file_limit = -1": DENIED,
    "ALTER ROLE web07 SET temp_file_limit = -1": DENIED,
    # The sessions of others, and what is logged of its own.
    "SELECT * FROM pg_stat_activity": DENIED,
    "SELECT * FROM pg_locks": DENIED,
    # When others enroll, are invited, use a recovery code; how much is written for them.
    "SELECT * FROM pg_stat_all_tables": DENIED,
    "SELECT * FROM pg_statio_all_tables": DENIED,
    "SELECT * FROM pg_stat_xact_all_tables": DENIED,
    "SELECT * FROM pg_stat_database": DENIED,
    "SELECT * FROM pg_stat_wal": DENIED,
    "SELECT * FROM pg_stat_replication": DENIED,
    "SELECT * FROM pg_replication_slots": DENIED,
    "SELECT pg_current_wal_lsn()": DENIED,
    "SELECT pg_current_wal_flush_lsn()": DENIED,
    "SELECT pg_relation_size(oid) FROM pg_class": DENIED,
    "SELECT pg_total_relation_size(oid) FROM pg_class": DENIED,
    "SELECT pg_database_size('pam_totp')": DENIED,
    "SELECT rolpassword FROM pg_authid": DENIED,
    "SELECT pg_switch_wal()": DENIED,
    "SET log_parameter_max_length = -1": DENIED,
    "SET log_statement = 'all'": DENIED,
    "SET log_min_messages = 'debug5'": DENIED,
    "ALTER ROLE web07 SET log_min_messages = 'debug5'": DENIED,
    "SET session_preload_libraries = 'auto_explain'": DENIED,
    "SET session_replication_role = 'replica'": DENIED,
    # What would keep a row locked beyond the session: off, as PostgreSQL has it.
    "BEGIN; PREPARE TRANSACTION 'x'": ("55000",),
}


@pytest.fixture
def host(database: Database) -> Connection:
    return database.connect()


@pytest.mark.parametrize("statement", REFUSED)
def test_the_role_of_a_host_is_refused(host: Connection, statement: str) -> None:
    with host, pytest.raises(psycopg.Error) as refused:
        host.execute(statement.encode())
    assert refused.value.sqlstate in REFUSED[statement]


def test_every_function_of_the_store_is_for_those_who_need_it(database: Database) -> None:
    """Also those that a later migration adds."""
    open_ones = database.admin.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = pronamespace"
        " WHERE nspname LIKE 'totp%%' AND nspname <> 'totp_api_1'"
        "   AND has_function_privilege(%s, p.oid, 'EXECUTE')",
        ["totp_host"],
    ).fetchall()
    assert open_ones == []


def test_every_function_that_a_host_may_call_has_a_fixed_search_path(database: Database) -> None:
    """One that runs with the owner's rights must not find what the caller puts in its way."""
    rows = database.admin.execute(
        "SELECT proname, prosecdef, array_to_string(proconfig, ' ') FROM pg_proc"
        " WHERE pronamespace IN ('totp_api_1'::regnamespace, 'totp_admin_1'::regnamespace)"
    ).fetchall()
    assert {name for name, is_definer, _ in rows if not is_definer} == {"check"}
    for name, is_definer, settings in rows:
        assert not is_definer or "search_path=pg_catalog, pg_temp" in settings, name


def test_no_host_uses_up_the_numbers_of_rows(database: Database) -> None:
    """Of two thousand million, a host that begins to enroll and takes that back needs some days;
    then nobody could enroll or be invited any more."""
    rows = database.admin.execute(
        "SELECT table_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'totp' AND is_identity = 'YES'"
    ).fetchall()
    assert {kind for _, kind in rows} == {"bigint"}, rows


def test_who_monitors_the_server_sees_what_hosts_do_not(database: Database) -> None:
    database.admin.execute("CREATE ROLE watches IN ROLE pg_monitor")
    with database.superuser() as monitor:
        monitor.execute("SET ROLE watches")
        for view in ("pg_stat_activity", "pg_stat_all_tables", "pg_stat_database", "pg_locks"):
            assert monitor.execute(f"SELECT * FROM {view}".encode()).fetchone()
        assert monitor.execute("SELECT pg_current_wal_lsn()").fetchone()


def test_no_other_database_lets_a_host_in(database: Database) -> None:
    rows = database.admin.execute(
        "SELECT datname FROM pg_database WHERE has_database_privilege('web07', oid, 'CONNECT')"
        " AND datallowconn"
    ).fetchall()
    assert rows == [("pam_totp",)]


def test_a_host_has_four_connections(database: Database) -> None:
    connections = [database.connect("four") for _ in range(4)]
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        database.connect("four")
    for each in connections:
        each.close()


def test_a_host_may_set_its_own_password(database: Database) -> None:
    """The one in the pasted line is then worth nothing."""
    database.add_host("joins")
    with database.connect("joins") as host:
        host.execute("ALTER ROLE joins PASSWORD 'another'")
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        database.connect("joins")
    database.passwords["joins"] = "another"
    database.connect("joins").close()


def test_a_session_cannot_switch_its_protection_off(database: Database, now: float) -> None:
    """Of what a host may set, nothing changes what a code is or how it is counted."""
    who = database.person()
    with database.connect() as host:
        for setting in (
            "search_path = pg_temp",
            "synchronous_commit = off",
            "lock_timeout = 0",
            "plan_cache_mode = force_custom_plan",
            "standard_conforming_strings = off",
            "transform_null_equals = on",
            "bytea_output = escape",
            "array_nulls = off",
            "datestyle = 'German'",
            "timezone = 'Pacific/Kiritimati'",
            "client_encoding = 'LATIN1'",
        ):
            host.execute(f"SET {setting}".encode())
        reasons = [check(host, who.name, who.incorrect_code(now))[1] for _ in range(6)]
        assert reasons == ["wrong-code"] * 5 + ["throttled"]
        database.value("SELECT totp_admin_1.unlock(%s)", who.name)
        assert check(host, who.name, who.code(now))[1] == "totp"
        assert check(host, who.name, who.code(now))[1] == "reused-code"


@pytest.mark.parametrize("hold", ["SELECT 1", "SELECT pg_sleep(30)"])
def test_a_host_that_keeps_a_persons_row_locked_is_ended(
    database: Database, now: float, hold: str
) -> None:
    """It may sit idle in its transaction, or be busy in it."""
    who = database.person()
    thief = database.connect("thief", autocommit=False)
    thief.execute("SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0")
    thief.commit()
    thief.execute("SELECT totp_api_1.submit(%s, '000000', '', '')", [who.name])
    thief.pgconn.send_query(hold.encode())
    time.sleep(2.1)
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "totp"
    with pytest.raises(psycopg.OperationalError):
        thief.execute("SELECT 1")


def test_a_host_that_keeps_all_that_it_can_locked_keeps_nobody_else_waiting(
    database: Database, now: float
) -> None:
    """Nobody but itself and the person whom it is about: it could do so again and again."""
    who, other = database.person(), database.person()
    with enrolling_host(database) as thief:
        new, _ = begin(thief, f"newcomer{next(NAMES)}", "")
        assert confirm(thief, new.name, "", new.code(now))[0]
        thief.execute("SELECT totp_api_1.submit(%s, '000000', '', '')", [who.name])
        thief.execute("SELECT totp_api_1.hello(0, '1')")
        with enrolling_host(database) as host:  # each of these waits for a row 0.7 s, then fails
            host.autocommit = True
            host.execute("SELECT totp_api_1.hello(0, '1')")
            assert check(host, other.name, other.code(now))[1] == "totp"
            newcomer, _ = begin(host, f"newcomer{next(NAMES)}", "")
            assert confirm(host, newcomer.name, "", newcomer.code(now))[0]
        assert database.value("SELECT totp_admin_1.reset(%s)", newcomer.name)
        assert database.value("SELECT totp_admin_1.invite(%s, interval '1 day')", newcomer.name)


def test_a_name_that_a_host_keeps_for_itself_is_free_after_two_seconds(
    database: Database, now: float
) -> None:
    """Of somebody whom the store does not know yet."""
    name = f"newcomer{next(NAMES)}"
    with enrolling_host(database) as thief, enrolling_host(database) as host:
        host.autocommit = True
        begin(thief, name, "")
        time.sleep(2.1)
        who, _ = begin(host, name, "")
        assert confirm(host, name, "", who.code(now))[0]
        with pytest.raises(psycopg.OperationalError):
            thief.execute("SELECT 1")


def test_hello_ends_transactions_that_are_open_for_long(database: Database, now: float) -> None:
    """They would keep the server from cleaning up."""
    with database.connect("lazy", autocommit=False) as lazy:
        lazy.execute("SET idle_in_transaction_session_timeout = 0")
        time.sleep(2.1)
        with database.connect() as host:
            host.execute("SELECT totp_api_1.hello(0, '1')")
        with pytest.raises(psycopg.OperationalError):
            lazy.execute("SELECT 1")


def test_a_row_that_others_than_hosts_keep_locked_refuses_in_time_and_ends_nobody(
    database: Database, now: float
) -> None:
    """An administrator's session, say. The code is not used up."""
    who = database.person()
    with database.connect() as host, database.superuser() as root:
        with root.transaction():
            root.execute("SELECT FROM totp.person WHERE name = %s FOR UPDATE", [who.name])
            time.sleep(2.1)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                check(host, who.name, who.code(now))
            assert root.execute("SELECT 1").fetchone() == (1,)
        assert check(host, who.name, who.code(now))[1] == "totp"


def test_a_host_that_is_thrown_out_is_out_at_once(database: Database, now: float) -> None:
    who = database.person()
    thief = database.connect("stolen", autocommit=False)
    thief.execute("SET idle_in_transaction_session_timeout = 0")
    thief.execute("SELECT totp_api_1.submit(%s, '000000', '', '')", [who.name])
    assert hosts.remove(database.admin, "stolen")
    assert not hosts.remove(database.admin, "stolen")
    with pytest.raises(psycopg.OperationalError):
        thief.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        database.connect("stolen")
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "totp"


def test_a_host_whose_row_is_marked_is_refused(database: Database, now: float) -> None:
    """Also if its role was forgotten, or is a superuser's."""
    with database.connect("marked") as host:
        assert database.value("SELECT totp_admin_1.remove_host('marked')")
        for call in (
            "hello(0, '1')",
            "submit('x', '123456', '', '')",
            "reveal(1)",
            "count_sent('x', '', '')",
            "take_back(1, 'x')",
            "submit_counted(1, 'x', '123456', '', '')",
            "standing('x')",
            "standings(ARRAY['x'])",
            "enroll_begin('x', '', '')",
            "enroll_confirm('x', '', '123456')",
        ):
            for connection in (host, database.admin):
                with pytest.raises(psycopg.Error) as refused:
                    connection.execute(f"SELECT totp_api_1.{call}".encode())
                assert refused.value.sqlstate == "P0T04", call


def test_a_host_that_left_can_be_added_again_with_a_new_password(database: Database) -> None:
    database.add_host("returns", burst=5, may_enroll=True)
    before = database.passwords["returns"]
    hosts.remove(database.admin, "returns")
    database.add_host("returns")
    assert database.passwords["returns"] != before
    assert len(before) == 26
    row = database.admin.execute(
        "SELECT burst, may_enroll, left_at FROM totp_admin_1.hosts() WHERE name = 'returns'"
    ).fetchone()
    assert row == (300, False, None)
    database.connect("returns").close()


def test_nothing_that_a_stolen_host_set_outlives_its_removal(database: Database) -> None:
    """A role may set what its own sessions begin with, also for one database, and who may use what
    it makes."""
    with database.connect("taken") as thief:
        thief.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
        thief.execute("ALTER ROLE taken SET default_transaction_read_only = on")
        thief.execute("ALTER ROLE taken IN DATABASE pam_totp SET search_path = 'a'")
    hosts.remove(database.admin, "taken")
    database.add_host("taken")
    with database.connect("taken") as host:
        for setting, value in ("search_path", '"$user", public'), ("transaction_read_only", "off"):
            shown = host.execute(f"SHOW {setting}".encode()).fetchone()
            assert shown == (value,)
    query = "SELECT count(*) FROM pg_default_acl WHERE defaclrole = 'taken'::regrole"
    assert database.value(query) == 0


def test_what_a_stolen_host_had_the_server_keep_goes_when_it_is_removed(database: Database) -> None:
    """Of any size, also for databases that it cannot connect to."""
    noise = base64.b64encode(random.randbytes(100_000)).decode()  # which cannot be compressed
    with database.connect("stuffed") as thief:
        for where in ("", "IN DATABASE pam_totp", "IN DATABASE postgres", "IN DATABASE template1"):
            thief.execute(f"ALTER ROLE stuffed {where} SET application_name = '{noise}'".encode())
        thief.execute(f"ALTER ROLE stuffed PASSWORD '{long_verifier()}'".encode())
    kept = "SELECT coalesce(sum(pg_column_size(s.*)), 0) FROM pg_db_role_setting s"
    kept += " WHERE setrole = 'stuffed'::regrole"
    password = "SELECT length(rolpassword) FROM pg_authid WHERE rolname = 'stuffed'"
    assert database.value(kept) > 4000 < database.value(password)
    hosts.remove(database.admin, "stuffed")
    assert database.value(kept) == 0
    assert database.value(password) is None
    database.add_host("stuffed")
    assert "stuffed" not in hosts.changed_by_themselves(database.admin)
    database.connect("stuffed").close()


def long_verifier() -> str:
    """Of a form that PostgreSQL takes for one: salts may be long."""
    key = base64.b64encode(bytes(32)).decode()
    return f"SCRAM-SHA-256$4096:{base64.b64encode(bytes(100_002)).decode()}${key}:{key}"


def test_a_stolen_host_cannot_fill_the_log_of_the_server(database: Database) -> None:
    """With errors and other messages of any length, whatever it sets."""
    marker = "m" * 500
    with database.connect("noisy") as thief:
        thief.execute("ALTER ROLE noisy RESET ALL")
    with database.connect("noisy") as thief:
        thief.execute("SET debug_print_parse = on")
        thief.execute(f"SELECT '{marker}'".encode())
        thief.execute("SET debug_print_parse = off")
        with pytest.raises(psycopg.Error):
            thief.execute(f"SELECT '{marker}'::int".encode())
        with pytest.raises(psycopg.Error):
            thief.execute(f"SELECT {marker}".encode())
    assert marker.encode() not in database.log.read_bytes()


def test_a_stolen_host_keeps_no_server_from_being_removed(database: Database) -> None:
    """PostgreSQL drops no role to which another one gives a right."""
    servers.add_standby(database.admin, "db2")
    with database.connect("generous") as thief:
        for what in ("TABLES", "FUNCTIONS", "SCHEMAS"):
            thief.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {what} TO db2".encode())
    assert servers.remove_standby(database.admin, "db2")
    assert not hosts.exists(database.admin, "db2")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "postgres",
        "public",
        "totp_owner",
        "pg_signal_backend",
        "Web07",
        "web_07",
        "-web",
        "web-",
        "a..b",
        ".a",
        "a.",
        "web 07",
        'web"07',
        "wéb",
        "w" * 64,
        "a\n",
    ],
)
def test_a_name_that_is_no_hosts_is_refused(database: Database, name: str) -> None:
    for change in (hosts.add, hosts.remove):
        with pytest.raises(Error, match="is not a valid host name"):
            change(database.admin, name)


def test_a_host_is_not_added_twice_nor_over_somebody_elses_role(database: Database) -> None:
    database.add_host("twice.example.org")
    with pytest.raises(Error, match=r"already has a host twice\.example\.org"):
        database.add_host("twice.example.org")
    database.admin.execute("CREATE ROLE nagios")
    with pytest.raises(Error, match="does not belong to the store"):
        database.add_host("nagios")


def enrolling_host(database: Database) -> Connection:
    """One where people may enroll at their login; the next statement begins a transaction."""
    name = f"desk{next(NAMES)}"
    database.add_host(name, may_enroll=True)
    host = database.connect(name, autocommit=False)
    host.execute("SET idle_in_transaction_session_timeout = 0")
    host.commit()
    return host
