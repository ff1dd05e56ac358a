# SPDX-License-Identifier: MIT
"""Codes, secrets and the key are in no log and in no view, whatever the server is told to log."""

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.fleet.database import FAST, KEY_FILE, Connection, Database, Person, check, new_database

# The most that PostgreSQL and what Debian ships with it can log.
LOUD = """\
shared_preload_libraries = 'pg_stat_statements'
session_preload_libraries = 'auto_explain'
pg_stat_statements.track = all
log_statement = all
log_min_duration_statement = 0
log_duration = on
log_error_verbosity = verbose
log_min_messages = debug1
log_min_error_statement = debug5
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
debug_print_parse = on
debug_print_rewritten = on
debug_print_plan = on
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
auto_explain.log_verbose = on
auto_explain.log_analyze = on
track_functions = all
track_activity_query_size = 100000
"""


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A store on a server that logs as much as it can."""
    database = new_database(FAST + LOUD)
    database.admin.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")
    database.add_host("web07")
    database.admin.execute("ALTER ROLE web07 RESET log_min_messages")  # as if it were allowed
    yield database
    database.admin.close()
    database.drop()


def test_such_a_server_logs_what_is_not_protected(database: Database) -> None:
    """What is looked for below can be found."""
    with database.superuser("postgres") as unprotected, logged(database) as log:
        unprotected.execute("SELECT %s::bytea, %s::text", [b"a secret of somebody", "314159"])
    assert seen(log(), "314159", b"a secret of somebody") >= {"code", "hex"}
    with database.superuser("postgres") as unprotected, logged(database) as log:
        unprotected.execute("SET plan_cache_mode = force_custom_plan")
        unprotected.execute("SELECT oid FROM pg_class WHERE relname = %s", ["271828"])
    assert "code in a plan" in seen(log(), "271828", b"not there")


@pytest.mark.parametrize("is_correct", [True, False])
@pytest.mark.parametrize("prepare_threshold", [0, None])
def test_a_check_leaves_no_code_and_no_secret(
    database: Database, now: float, is_correct: bool, prepare_threshold: int | None
) -> None:
    who = database.person(digits=8)  # so many are in no log by chance
    recovery = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    code = who.code(now) if is_correct else who.incorrect_code(now)
    with database.connect(prepare_threshold=prepare_threshold) as host:
        told = heard(host)
        with logged(database) as log:
            assert check(host, who.name, code)[0] is is_correct
            assert check(host, who.name, recovery[0])[0]
            with pytest.raises(psycopg.Error):  # an error, with the parameters at hand
                host.execute("SELECT totp_api_1.reveal(%s), %s::text", [1 << 60, code])
        texts = log() + b" ".join(told) + views(database)
    assert b"totp_api_1.check" in texts
    assert seen(texts, code, who.secret) == set()
    assert seen(texts, recovery[0], KEY_FILE.read_bytes()) == set()


def test_enrolling_leaves_no_secret_and_no_code(database: Database, now: float) -> None:
    with logged(database) as log, database.connect() as host:
        invitation = database.value("SELECT totp_admin_1.invite('alice', '1 day')")
        begun = host.execute(
            "SELECT secret FROM totp_api_1.enroll_begin('alice', %s, '')", [invitation]
        ).fetchone()
        assert begun is not None
        who = Person("alice", begun[0])
        confirmed = host.execute(
            "SELECT confirmed, recovery_codes FROM totp_api_1.enroll_confirm('alice', %s, %s)",
            [invitation, who.code(now)],
        ).fetchone()
        assert confirmed is not None
        assert confirmed[0]
    texts = log() + views(database)
    assert b"totp_api_1.enroll_begin" in texts
    for word in (invitation, who.code(now), *confirmed[1]):
        assert seen(texts, word, who.secret) == set()


def test_what_administrators_do_leaves_no_secret(database: Database, now: float) -> None:
    with logged(database) as log:
        who = database.person()
        codes = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
        database.value("SELECT totp_admin_1.reseal(1)")
    texts = log() + views(database)
    assert b"totp_admin_1.import_credential" in texts
    assert seen(texts, codes[0], who.secret) == set()
    assert seen(texts, codes[1], KEY_FILE.read_bytes()) == set()


def test_a_password_of_a_host_is_never_in_a_statement(database: Database) -> None:
    with logged(database) as log:
        database.add_host("web09")
    texts = log() + views(database)
    assert b"SCRAM-SHA-256$" in texts
    assert database.passwords["web09"].encode() not in texts


def test_a_host_that_asks_for_plans_sees_no_secret(database: Database, now: float) -> None:
    """Of its own sessions it may print what it likes: in them runs what opens secrets."""
    who = database.person(digits=8)
    invitation = database.value("SELECT totp_admin_1.invite('asks', '1 day')")
    with database.connect(prepare_threshold=0) as host:
        told = heard(host)
        for setting in (
            "client_min_messages = debug5",
            "debug_print_parse = on",
            "debug_print_rewritten = on",
            "debug_print_plan = on",
            "plan_cache_mode = force_custom_plan",
        ):
            host.execute(f"SET {setting}".encode())
        with logged(database) as log:
            assert check(host, who.name, who.incorrect_code(now))[1] == "wrong-code"
            assert check(host, who.name, who.code(now))[1] == "totp"
            query = "SELECT secret FROM totp_api_1.enroll_begin('asks', %s, '')"
            begun = host.execute(query, [invitation]).fetchone()
        texts = log() + b" ".join(told)
    assert len(b" ".join(told)) > 100_000
    assert begun is not None
    for secret in (who.secret, begun[0], KEY_FILE.read_bytes()):
        for steps in (-1, 1):  # codes that nobody entered
            assert seen(texts, who.code(now, steps), secret) == set()


class logged:  # noqa: N801 - reads as what it is
    """What the server logs while the body runs, as the function that it gives tells afterwards."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> Callable[[], bytes]:
        self.start = self.database.log.stat().st_size
        return self.read

    def __exit__(self, *_: object) -> None:
        """Until all is written: sessions write to one pipe, in their order."""
        marker = f"end of what is looked at {time.monotonic_ns()}"
        with self.database.superuser("postgres") as session:
            session.execute(f"SELECT '{marker}'".encode())
        for _attempt in range(600):
            self.content = self.database.log.read_bytes()[self.start :]
            if marker.encode() in self.content:
                return
            time.sleep(0.05)
        raise AssertionError("the log does not come to its end")

    def read(self) -> bytes:
        return self.content


def heard(host: Connection) -> list[bytes]:
    """All that the server says to a host besides results, from now on."""
    told: list[bytes] = []

    def hear(notice: Any) -> None:
        told.extend(
            part.encode()
            for part in (notice.message_primary, notice.message_detail, notice.context)
            if part
        )

    host.add_notice_handler(hear)
    return told


def views(database: Database) -> bytes:
    """Texts of statements in the views of the server."""
    rows = database.admin.execute(
        "SELECT query FROM pg_stat_activity UNION ALL SELECT query FROM public.pg_stat_statements"
        " UNION ALL SELECT statement FROM pg_prepared_statements"
    ).fetchall()
    return "\n".join(str(query) for (query,) in rows).encode()


def seen(texts: bytes, code: str, secret: bytes) -> set[str]:
    """In what form a code or a secret stands in these texts."""
    forms = {
        "code": code.encode(),
        "code in a plan": in_a_plan(code.encode()),
        "raw": secret,
        "hex": secret.hex().encode(),
        "base64": base64.b64encode(secret).rstrip(b"="),
        "base32": base64.b32encode(secret).rstrip(b"="),
        "in a plan": in_a_plan(secret),
    }
    return {name for name, form in forms.items() if form in texts}


def in_a_plan(value: bytes) -> bytes:
    """As debug_print_plan prints a constant: each byte as a signed number."""
    return " ".join(str(byte - 256 if byte > 127 else byte) for byte in value).encode()
