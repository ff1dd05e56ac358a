# SPDX-License-Identifier: MIT
"""`pam-totp doctor` on a server of the store: each fault is planted for real, found alone, and gone
after the command of its finding."""

import base64
import dataclasses
import json
import subprocess
from collections.abc import Iterator

import pytest

from pam_totp.fleet.key_file import bring_back
from pam_totp.review.doctor import fleet_server
from pam_totp.review.doctor.findings import Finding
from pam_totp.review.doctor.host import Host
from tests.commands.commands import assert_refused, configured, pam_totp
from tests.fleet.store import CLUSTER, ETC, SETTINGS, UNFINISHED, VERSION, Store, file_as_it_was
from tests.host.programs import CONFIGURATION

KEY = ETC / "fleet-key.1"
HBA, CERTIFICATE, CERTIFICATE_KEY = "pg_hba.conf", "server.crt", "server.key"
ED25519 = (
    f"openssl req -x509 -nodes -newkey ed25519 -subj /CN=x -keyout {SETTINGS}/{CERTIFICATE_KEY}"
    f" -out {SETTINGS}/{CERTIFICATE} 2>/dev/null"
)
CONTROL = f"pg_ctlcluster {VERSION} {CLUSTER}"


@dataclasses.dataclass(frozen=True)
class Fault:
    """As in tests/doctor/faults.py. undo: what the finding's command does not."""

    name: str
    plant: str
    kind: str
    words: str
    repaired: bool = True
    undo: str = "true"


def sql(port: int, statement: str) -> None:
    command = ["psql", "-Xq", "-h", "/var/run/postgresql", "-p", str(port), "-U", "postgres"]
    subprocess.run([*command, "-d", CLUSTER, "-c", statement], check=True)


FAULTS = (
    Fault("a cluster that does not run", f"{CONTROL} stop", "store-not-running", "does not run"),
    Fault(
        "an init that was killed",
        f"echo setting-up >{UNFINISHED}",
        "store-unfinished",
        "interrupted",
    ),
    Fault("a key that others can read", f"chmod 644 {KEY}", "store-key-unsafe", "open to others"),
    Fault(
        "a key that the server cannot read",
        f"chmod 600 {KEY}",
        "store-key-unusable",
        "cannot be read by the group postgres",
    ),
    Fault(
        "a key of another owner",
        f"chown postgres {KEY}",
        "store-key-unsafe",
        "not owned by root and the group",
    ),
    Fault("no key", f"rm {KEY}", "store-key-missing", f"there is no {KEY}", repaired=False),
    Fault(
        "another key",
        f"head -c 32 /dev/zero >{KEY}",
        "store-key-wrong",
        "is not the key of this store",
        repaired=False,
    ),
    Fault(
        "a key that was cut off",
        f"truncate -s 31 {KEY}",
        "store-key-unusable",
        "is not a file of 32 bytes",
        repaired=False,
    ),
    Fault("a certificate of a kind that does not bind", ED25519, "store-certificate", "Ed25519"),
    Fault("no certificate", f"rm {SETTINGS}/{CERTIFICATE}", "store-certificate", "there is no"),
    Fault(
        "connections without a password",
        f"echo 'hostssl pam_totp all all trust' >>{SETTINGS}/{HBA}",
        "store-access",
        "connections by hostssl with trust",
        repaired=False,
    ),
    Fault(
        "connections without TLS",
        f"echo 'host pam_totp +totp_host all scram-sha-256' >>{SETTINGS}/{HBA}",
        "store-access",
        "connections by host with scram-sha-256",
        repaired=False,
    ),
    Fault(
        "a line that PostgreSQL does not understand",
        f"echo 'hostssl pam_totp all all nosuch' >>{SETTINGS}/{HBA}",
        "store-access-fault",
        "nosuch",
        repaired=False,
    ),
    Fault(
        "parameters in the log",
        "ALTER DATABASE pam_totp SET log_parameter_max_length = -1",
        "store-logs-codes",
        "log_parameter_max_length is -1",
    ),
    Fault(
        "plans with values",
        "ALTER DATABASE pam_totp RESET plan_cache_mode",
        "store-logs-codes",
        "plan_cache_mode is auto",
    ),
    Fault(
        "a standby that has not joined",
        "CREATE ROLE db2 LOGIN REPLICATION IN ROLE totp_standby",
        "store-attention",
        "db2 has not joined yet",
        repaired=False,
        undo="pam-totp store remove db2",
    ),
)


def findings() -> list[Finding]:
    return list(fleet_server.find(Host()))


def shell(script: str) -> None:
    subprocess.run(["bash", "-euc", script], check=True, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def as_before(store: Store) -> Iterator[None]:
    """The files and the server are as they were, whatever a test does."""
    with (
        file_as_it_was(KEY),
        file_as_it_was(SETTINGS / HBA),
        file_as_it_was(SETTINGS / CERTIFICATE),
        file_as_it_was(SETTINGS / CERTIFICATE_KEY),
    ):
        yield
    UNFINISHED.unlink(missing_ok=True)


def test_healthy_server_has_no_finding(store: Store) -> None:
    assert findings() == []


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_planted_fault_is_found_alone_and_repaired(store: Store, fault: Fault) -> None:
    if fault.plant.startswith(("ALTER", "CREATE")):
        sql(store.port, fault.plant)
    else:
        shell(fault.plant)
    found = findings()
    assert [each.kind for each in found] == [fault.kind], found
    assert fault.words in found[0].what
    assert found[0].consequence.endswith(".")
    if fault.repaired:
        shell(found[0].command)
        assert findings() == []
    shell(fault.undo)


@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize("plant", [f"rm {KEY}", f"truncate -s 31 {KEY}", f"echo x >{KEY}"])
def test_lost_key_comes_back_from_the_copy_that_was_kept(
    store: Store, plant: str, is_running: bool
) -> None:
    """There is no other server, and this is the primary: nothing is to be copied from it."""
    kept = base64.b64encode(KEY.read_bytes())
    shell(plant)
    if not is_running:
        shell(f"{CONTROL} stop")
    found = next(each for each in findings() if each.kind.startswith("store-key-"))
    subprocess.run(["bash", "-euc", found.command], input=kept, check=True)
    if not is_running:
        shell(f"{CONTROL} start")
    assert findings() == []


def test_init_without_the_key_names_the_copy_that_was_kept(store: Store) -> None:
    KEY.unlink()
    done = pam_totp("store", "init")
    assert_refused(done, f"there is no {KEY}")
    assert done.errors.endswith(f"hint: {bring_back(1, '')}\n")


def test_server_whose_own_logins_need_the_store_is_a_fault(store: Store) -> None:
    with file_as_it_was(CONFIGURATION), configured("store: postgresql\n"):
        (found,) = findings()
        assert found.kind == "store-needs-itself"
        shell(found.command)
        assert findings() == []


def test_doctor_says_what_this_module_finds(store: Store) -> None:
    KEY.chmod(0o644)
    done = pam_totp("doctor", "--json")
    kinds = [each["kind"] for each in json.loads(done.output)["findings"]]
    assert "store-key-unsafe" in kinds


def test_doctor_changes_nothing_at_the_store(store: Store) -> None:
    written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    before = store.row(written)
    findings()
    assert store.row(written) == before
