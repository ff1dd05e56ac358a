# SPDX-License-Identifier: MIT
"""A backup as `store init` tells to make it: dump, roles and key file bring back a working store.
Neither of the two files holds a secret or the key."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.commands.commands import assert_keys_as_documented, assert_refused, pam_totp
from tests.fleet.store import (
    ETC,
    PASSWORD,
    Store,
    make_store,
    port_of_cluster,
    remove_store,
)
from tests.host.programs import CONFIGURATION

KEY = ETC / "fleet-key.1"
DUMP, GLOBALS = Path("/tmp/pam_totp.dump"), Path("/tmp/pam_totp-globals.sql")
SECRET = b"twenty bytes of alic"
STEP = 60_000_000  # of a code that was accepted


def run(port: int, *command: str, must: bool = True) -> None:
    at = ["-h", "/var/run/postgresql", "-p", str(port), "-U", "postgres"]
    done = subprocess.run([command[0], *at, *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0 or not must, done.stderr


def back_up(store: Store) -> None:
    run(store.port, "pg_dump", "-Fc", "-f", str(DUMP), "pam_totp")
    run(store.port, "pg_dumpall", "--globals-only", "-f", str(GLOBALS))


def restore(port: int) -> None:
    """As the manual has it: roles first, where those that are there are no error."""
    run(port, "psql", "-Xq", "-d", "postgres", "-f", str(GLOBALS), must=False)
    run(port, "pg_restore", "--clean", "--if-exists", "--create", "-d", "postgres", str(DUMP))


@pytest.fixture(scope="module")
def restored() -> Iterator[Store]:
    """Alice is enrolled, web07 has joined; then the server is lost, and a new one has the backup
    and the key."""
    remove_store()
    store = make_store()
    with store.connect() as connection:
        query = "SELECT totp_admin_1.import_credential(%s, %s, 'sha1', 6, 30, 0, 'phone', %s)"
        connection.execute(query, ["alice", SECRET, STEP])
        connection.execute("SELECT totp_admin_1.new_recovery_codes('alice')")
    assert pam_totp("store", "join", "-", "--yes", typed=store.add("web07")).code == 0
    password, key = PASSWORD.read_text(), KEY.read_bytes()
    back_up(store)
    remove_store()
    CONFIGURATION.write_text("store: system\n")
    KEY.write_bytes(key)
    subprocess.run(["chown", "root:postgres", KEY], check=True)
    KEY.chmod(0o640)
    assert pam_totp("store", "init", "--listen", "127.0.0.1").code == 0
    restore(port_of_cluster())
    PASSWORD.write_text(password)
    yield Store(port_of_cluster())
    remove_store()


def test_backup_holds_no_secret_and_no_key(restored: Store) -> None:
    text = subprocess.run(["pg_restore", "-f", "-", DUMP], capture_output=True, check=True).stdout
    for secret in (SECRET, KEY.read_bytes()):
        for form in (secret, secret.hex().encode()):
            assert form not in text + DUMP.read_bytes() + GLOBALS.read_bytes()


def test_restored_store_works(restored: Store) -> None:
    said = pam_totp("store", "restored", "--void-recovery-codes", "--json")
    assert said.code == 0, said.errors
    assert_keys_as_documented("store", said.output, "restored")
    assert json.loads(said.output)["void_recovery_codes"] is True
    status = json.loads(pam_totp("store", "status", "--json").output)
    assert status["attention"] == []
    assert status["store"]["refuses_now"] is True
    assert [each["name"] for each in status["hosts"]] == ["web07"]
    assert restored.row("SELECT count(*) FROM totp.recovery_code") == (0,)
    assert restored.row("SELECT last_step FROM totp.credential") == (STEP,)
    with restored.as_host("web07", PASSWORD.read_text().strip()) as connection:
        row = connection.execute("SELECT state FROM totp_api_1.standing('alice')").fetchone()
        assert row == ("enrolled",)
        for closed in ("SELECT pg_notify('x', '')", "SELECT lo_create(0)", "TABLE totp.setting"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(closed)


def test_settings_that_keep_codes_out_of_logs_are_restored(restored: Store) -> None:
    names = ("log_parameter_max_length", "plan_cache_mode", "debug_print_plan")
    found = tuple(restored.row(f"SHOW {name}")[0] for name in names)
    assert found == ("0", "force_generic_plan", "off")


def test_backup_without_its_key_is_refused(restored: Store) -> None:
    KEY.write_bytes(b"x" * 32)
    assert_refused(pam_totp("store", "restored"), f"{KEY} is not the key of this store")
    assert_refused(pam_totp("store", "init"), f"{KEY} is not the key of this store")
    assert pam_totp("store", "status").code == 1
    KEY.unlink()
    assert_refused(pam_totp("store", "restored"), f"there is no {KEY}")
