# SPDX-License-Identifier: MIT
"""The schema gets from one version to the next in one step, or not at all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pam_totp.errors import Error
from pam_totp.fleet import schema_migrations
from tests.fleet.database import KEY_FILE, Connection, Database, check

SECOND = """\
CREATE SCHEMA totp_api_2 AUTHORIZATION totp_owner;
SET LOCAL ROLE totp_owner;
ALTER TABLE totp.person ADD COLUMN note text;
CREATE FUNCTION totp_api_2.hello() RETURNS text LANGUAGE sql AS $$ SELECT 'version 2' $$;
GRANT USAGE ON SCHEMA totp_api_2 TO totp_host;
GRANT EXECUTE ON FUNCTION totp_api_2.hello() TO totp_host;
RESET ROLE;
"""


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The schema of a release that knows version 2, empty still."""
    schema = tmp_path / "schema"
    shutil.copytree(schema_migrations.SCHEMA, schema)
    (schema / "002").mkdir()
    monkeypatch.setattr(schema_migrations, "SCHEMA", schema)
    return schema / "002"


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """An empty database of the same server."""
    with database.superuser("postgres") as server:
        server.execute("CREATE DATABASE other")
        connection = database.superuser("other")
        yield connection
        connection.close()
        server.execute("DROP DATABASE other WITH (FORCE)")


def test_what_is_up_to_date_is_left_alone(database: Database) -> None:
    assert schema_migrations.apply(database.admin) == []
    assert (
        database.value("SELECT schema_version FROM totp.store") == schema_migrations.versions()[-1]
    )


def test_a_store_is_made_beside_roles_that_are_there(other: Connection) -> None:
    """As of another database of the server, or after a restore of the roles alone."""
    assert schema_migrations.apply(other) == schema_migrations.versions()
    assert schema_migrations.apply(other) == []


def test_each_release_keeps_the_functions_of_the_one_before(
    database: Database, other: Connection, now: float, next_release: Path
) -> None:
    """Rule 22: the store is updated first, and hosts that call the old functions go on."""
    (next_release / "1.sql").write_text(SECOND, encoding="ascii")
    who = database.person()
    with database.connect() as host:
        assert schema_migrations.apply(database.admin) == [2]
        try:
            assert check(host, who.name, who.code(now))[1] == "totp"
            assert host.execute("SELECT totp_api_2.hello()").fetchone() == ("version 2",)
            assert schema_migrations.apply(other) == [1, 2]
        finally:
            database.admin.execute(
                "DROP SCHEMA totp_api_2 CASCADE; ALTER TABLE totp.person DROP COLUMN note;"
                "UPDATE totp.store SET schema_version = 1"
            )


def test_a_store_of_a_later_release_is_refused(database: Database) -> None:
    database.admin.execute("UPDATE totp.store SET schema_version = 3")
    try:
        with pytest.raises(Error) as refused:
            schema_migrations.apply(database.admin)
    finally:
        database.admin.execute("UPDATE totp.store SET schema_version = 1")
    assert refused.value.message == "the store has schema version 3, this release knows 1"
    assert refused.value.hint == "apt install --only-upgrade pam-totp"


def test_a_migration_that_fails_leaves_nothing(
    database: Database, now: float, next_release: Path
) -> None:
    """Rule 19."""
    (next_release / "1.sql").write_text(SECOND, encoding="ascii")
    (next_release / "2.sql").write_text("SELECT 1 / 0", encoding="ascii")
    with pytest.raises(Error, match="cannot be updated: division by zero"):
        schema_migrations.apply(database.admin)
    assert database.value("SELECT to_regnamespace('totp_api_2')") is None
    assert database.value("SELECT schema_version FROM totp.store") == 1
    who = database.person()
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "totp"


def test_a_first_migration_without_a_key_file_leaves_nothing(other: Connection) -> None:
    hidden = KEY_FILE.with_suffix(".hidden")
    KEY_FILE.rename(hidden)
    try:
        with pytest.raises(Error, match="could not open file"):
            schema_migrations.apply(other)
    finally:
        hidden.rename(KEY_FILE)
    assert other.execute("SELECT to_regnamespace('totp')").fetchone() == (None,)


def test_a_migration_waits_for_a_lock_only_for_some_seconds(
    database: Database, next_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a migration that waits for a login, every other login would wait."""
    monkeypatch.setattr(schema_migrations, "LOCK_TIMEOUT", "50ms")
    (next_release / "1.sql").write_text(SECOND, encoding="ascii")
    with database.superuser() as busy, busy.transaction():
        busy.execute("SELECT FROM totp.person")
        with pytest.raises(Error, match="lock timeout") as refused:
            schema_migrations.apply(database.admin)
    assert "Run the same command again" in refused.value.hint
    assert database.value("SELECT to_regnamespace('totp_api_2')") is None


def test_the_settings_survive_a_dump_and_a_restore(database: Database) -> None:
    assert isinstance(database.admin, psycopg.Connection)
    settings = database.value(
        "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
        " WHERE datname = 'pam_totp' AND setrole = 0"
    )
    assert {
        "log_parameter_max_length=0",
        "log_parameter_max_length_on_error=0",
        "plan_cache_mode=force_generic_plan",
        "auto_explain.log_min_duration=-1",
    } <= set(settings)
