# SPDX-License-Identifier: MIT
"""`pam-totp store init`: a cluster of its own, made, mended, and completed after a kill."""

import grp
import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands.commands import assert_refused, configured, pam_totp, run, tree
from tests.fleet.store import (
    CLUSTER,
    DATA,
    ETC,
    SETTINGS,
    UNFINISHED,
    VERSION,
    Store,
    file_as_it_was,
    killed_at,
    make_store,
    port_of_cluster,
)
from tests.host.programs import COMMAND, CONFIGURATION, STATE

KEY = ETC / "fleet-key.1"


def test_every_server_setting_is_the_one_of_the_design(store: Store) -> None:
    wanted = {
        "ssl": "on",
        "ssl_cert_file": f"{SETTINGS}/server.crt",
        "password_encryption": "scram-sha-256",
        "max_connections": "600",
        "authentication_timeout": "10s",
        "wal_level": "replica",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }
    assert {name: store.row(f"SHOW {name}")[0] for name in wanted} == wanted


def test_nobody_connects_but_by_peer_or_by_tls_and_scram(store: Store) -> None:
    with store.connect() as connection:
        rules = connection.execute(
            "SELECT type, auth_method, error FROM pg_hba_file_rules ORDER BY line_number"
        ).fetchall()
    assert {(kind, method) for kind, method, _ in rules} == {
        ("local", "peer"),
        ("hostssl", "scram-sha-256"),
    }
    assert [fault for *_, fault in rules if fault] == []


def test_certificate_is_ecdsa_and_its_key_is_outside_of_the_data(store: Store) -> None:
    text = run(["openssl", "x509", "-in", f"{SETTINGS}/server.crt", "-noout", "-text"]).output
    assert "id-ecPublicKey" in text
    assert "NIST CURVE: P-256" in text
    key = SETTINGS / "server.key"
    assert key.owner() == "postgres"
    assert key.stat().st_mode & 0o777 == 0o600
    assert not [path for path in DATA.iterdir() if path.suffix in (".key", ".crt")]


def test_key_file_is_for_root_and_the_server_alone(store: Store) -> None:
    status = KEY.stat()
    assert (status.st_uid, grp.getgrgid(status.st_gid).gr_name) == (0, "postgres")
    assert (status.st_mode & 0o777, status.st_size) == (0o640, 32)


def test_init_again_changes_nothing(store: Store) -> None:
    before = tree(SETTINGS) | tree(ETC)
    started = store.row("SELECT pg_postmaster_start_time()")
    done = pam_totp("store", "init", "--json")
    assert done.code == 0, done.errors
    said = json.loads(done.output)
    assert (said["changed"], said["did"]) == (False, [])
    assert tree(SETTINGS) | tree(ETC) == before
    assert store.row("SELECT pg_postmaster_start_time()") == started


def test_what_an_administrator_edited_stays(store: Store) -> None:
    access = SETTINGS / "pg_hba.conf"
    with file_as_it_was(access):
        access.write_text(access.read_text() + "# our monitoring\n")
        assert pam_totp("store", "init").code == 0
        assert "# our monitoring" in access.read_text()


@pytest.mark.parametrize(
    "name", ["pg_hba.conf", "pg_ident.conf", "conf.d/pam-totp.conf", "server.key"]
)
def test_missing_file_is_made_again(store: Store, name: str) -> None:
    with file_as_it_was(SETTINGS / "server.crt"), file_as_it_was(SETTINGS / name):
        (SETTINGS / name).unlink()
        done = pam_totp("store", "init", "--listen", "127.0.0.1", "--json")
        if name == "conf.d/pam-totp.conf":  # no sign of ours is left
            assert_refused(done, "that pam-totp did not make")
            return
        assert done.code == 0, done.errors
        assert json.loads(done.output)["changed"]
        assert (SETTINGS / name).stat().st_size


def test_stopped_cluster_is_started(store: Store) -> None:
    subprocess.run(["pg_ctlcluster", VERSION, CLUSTER, "stop"], check=True)
    done = pam_totp("store", "init", "--json")
    assert json.loads(done.output)["did"] == ["started the cluster"]


def test_lost_key_is_never_replaced(store: Store) -> None:
    with file_as_it_was(KEY):
        KEY.unlink()
        assert_refused(pam_totp("store", "init"), f"there is no {KEY}")
        assert not KEY.exists()


def test_key_that_others_can_read_is_refused_with_its_repair(store: Store) -> None:
    with file_as_it_was(KEY):
        KEY.chmod(0o644)
        done = pam_totp("store", "init")
        assert_refused(done, "is open to others")
        assert done.errors.endswith(f"hint: chmod 640 {KEY}\n")


@pytest.mark.parametrize("setting", ["", "store: user\n", "store: postgresql\n"])
def test_server_whose_logins_may_need_the_store_is_refused(store: Store, setting: str) -> None:
    with file_as_it_was(CONFIGURATION), configured(f"# mine\n{setting}"):
        done = pam_totp("store", "init")
        assert_refused(done, "a database server must have the setting store: system")
        subprocess.run(["sh", "-c", done.errors.rpartition("hint: ")[2]], check=True)
        assert pam_totp("store", "init").code == 0
        assert CONFIGURATION.read_text() == "# mine\nstore: system\n"


def test_server_without_settings_gets_those_that_it_needs(store: Store) -> None:
    with file_as_it_was(CONFIGURATION):
        CONFIGURATION.unlink()
        assert f"Wrote {CONFIGURATION}, with store: system." in pam_totp("store", "init").output
        assert pam_totp("config", "check").code == 0
        assert CONFIGURATION.read_text().splitlines()[-1] == "store: system"
        assert "Wrote" not in pam_totp("store", "init").output


def test_server_where_somebody_logs_in_with_a_code_keeps_its_settings(store: Store) -> None:
    """Without the file the last good ones apply, and a new one would replace them."""
    record = STATE / "enforced" / "12345"
    with file_as_it_was(CONFIGURATION):
        CONFIGURATION.unlink()
        record.parent.mkdir(mode=0o700, exist_ok=True)
        record.touch(0o600)
        try:
            assert "Wrote" not in pam_totp("store", "init").output
        finally:
            record.unlink()
        assert not CONFIGURATION.exists()


def test_other_port_than_that_of_the_cluster_is_refused(store: Store) -> None:
    assert_refused(pam_totp("store", "init", "--port", "6000"), "the cluster uses port")


@pytest.mark.parametrize("port", ["80", "65536", "-1"])
def test_port_out_of_range_is_wrong_usage(port: str) -> None:
    done = pam_totp("store", "init", f"--port={port}")
    assert_refused(done, "--port must be a number from 1024 to 65535", code=2)


def test_address_with_a_quote_is_wrong_usage() -> None:
    assert_refused(pam_totp("store", "init", "--listen", "x'y"), "is not an address", code=2)


def test_address_that_is_only_of_this_machine_is_told(store: Store) -> None:
    assert "127.0.0.1 is a loopback address on this machine" in pam_totp("store", "init").output


def test_limits_and_code_parameters_are_taken_once(no_store: None) -> None:
    text = "store: system\ncode: {digits: 8, algorithm: SHA256}\nthrottle: {free_tries: 3}\n"
    CONFIGURATION.write_text(text)
    assert pam_totp("store", "init", "--listen", "127.0.0.1").code == 0
    store = Store(port_of_cluster())
    columns = "SELECT digits, upper(algorithm), free_tries FROM totp.setting"
    assert store.row(columns) == (8, "SHA256", 3)
    CONFIGURATION.write_text("store: system\n")
    assert json.loads(pam_totp("store", "init", "--json").output)["changed"] is False
    assert store.row(columns) == (8, "SHA256", 3)


def test_killed_at_every_step_the_next_init_completes_it(no_store: None) -> None:
    """Each run takes one step and is killed at the next; where it comes no further than those
    before it, it may take one more."""
    CONFIGURATION.write_text("store: system\n")
    number, steps = 1, set[str]()
    while step := killed_at(number, "store", "init", "--listen", "127.0.0.1"):
        number = number + 1 if step in steps else 2
        steps.add(step)
    assert len(steps) > 10, steps
    assert not UNFINISHED.exists()
    assert json.loads(pam_totp("store", "init", "--json").output)["changed"] is False
    assert pam_totp("store", "add", "web07").code == 0


def test_half_made_cluster_is_made_anew_once_its_maker_has_ended(no_store: None) -> None:
    """pg_createcluster outlives the command that started it."""
    CONFIGURATION.write_text("store: system\n")
    command = [COMMAND, "store", "init", "--listen", "127.0.0.1"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (DATA / "PG_VERSION").exists():
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert UNFINISHED.read_text() == "creating\n"
    done = pam_totp("store", "init", "--listen", "127.0.0.1")
    assert done.code == 0, done.errors
    assert "Made the cluster" in done.output


def test_cluster_of_somebody_else_is_left_alone(no_store: None) -> None:
    CONFIGURATION.write_text("store: system\n")
    subprocess.run(["pg_createcluster", VERSION, CLUSTER], check=True, capture_output=True)
    before = tree(SETTINGS)
    assert_refused(pam_totp("store", "init"), "that pam-totp did not make")
    assert tree(SETTINGS) == before


def test_without_postgresql_the_command_to_install_it_is_told(no_store: None) -> None:
    hidden = Path("/usr/lib/python3/dist-packages/psycopg/__init__.py")
    Path("/tmp/damaged.py").write_text("raise ImportError('no libpq.so.5')")
    subprocess.run(["mount", "--bind", "/tmp/damaged.py", hidden], check=True)
    try:
        done = pam_totp("store", "init")
    finally:
        subprocess.run(["umount", hidden], check=True)
    assert_refused(done, "PostgreSQL's Python library cannot be used")
    assert done.errors.endswith("hint: apt-get install postgresql python3-psycopg\n")


def test_only_root_runs_it(store: Store) -> None:
    done = run(["setpriv", "--reuid=65534", "--clear-groups", COMMAND, "store", "status"])
    assert_refused(done, "this command must be run as root")


def test_store_is_made_with_its_defaults(no_store: None) -> None:
    assert make_store().row("SELECT free_tries FROM totp.setting") == (5,)


@pytest.mark.parametrize("action", ["init", "standby"])
@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("192.0.2.99", "192.0.2.99 is not an address of this machine; nothing was changed"),
        ("2001:db8::99", "2001:db8::99 is not an address of this machine; nothing was changed"),
        ("nosuch.invalid", "nosuch.invalid cannot be looked up: "),
    ],
)
def test_address_of_another_machine_is_refused_before_anything_is_made(
    no_store: None, action: str, address: str, fault: str
) -> None:
    before = tree(ETC)
    done = pam_totp("store", action, "--listen", "127.0.0.1", address)
    assert_refused(done, fault)
    assert done.errors.endswith("hint: ip -brief address\n")
    assert tree(ETC) == before
    assert CLUSTER not in run(["pg_lsclusters", "--no-header"]).output
