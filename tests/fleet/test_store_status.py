# SPDX-License-Identifier: MIT
"""`pam-totp store status`: who is there, and what needs attention, by its exit code too."""

import json
import os
import signal
from typing import Any

import pytest

from tests.commands.commands import assert_refused, pam_totp
from tests.fleet.store import DATA, PASSWORD, Store, forget_join
from tests.fleet.test_stolen_host import long_verifier


def status() -> Any:
    done = pam_totp("store", "status", "--json")
    assert done.errors == "", done.errors
    found = json.loads(done.output)
    assert done.code == int(found["needs_attention"]) == int(bool(found["attention"]))
    return found


@pytest.fixture
def host(store: Store) -> Any:
    """A session of web07, which has joined; and its name is gone afterwards. No try comes back
    while a test runs."""
    forget_join()
    line = store.add("web07", "--burst", "20")
    assert pam_totp("store", "join", "-", "--yes", typed=line).code == 0
    with store.connect() as connection:
        connection.execute("UPDATE totp.host SET seconds = 3600")
    with store.as_host("web07", PASSWORD.read_text().strip()) as connection:
        connection.execute("SELECT totp_api_1.hello(0, '1.2.3')")
        yield connection
    with store.connect() as connection:
        connection.execute("DELETE FROM totp.attempt")
        connection.execute("UPDATE totp.host SET budget_used = 0")
    pam_totp("store", "remove", "web07")
    forget_join()


def of_host(found: Any) -> Any:
    return next(each for each in found["hosts"] if each["name"] == "web07")


def test_store_without_hosts_needs_no_attention(store: Store) -> None:
    found = status()
    assert found["attention"] == []
    assert found["server"]["role"] == "primary"
    assert pam_totp("store", "status").output.endswith("Nothing needs attention.\n")


def test_host_is_shown_with_its_release_clock_and_tries(store: Store, host: Any) -> None:
    found = of_host(status())
    assert (found["release"], found["burst"], found["tries_left"]) == ("1.2.3", 20, 20)
    assert found["clock_difference"] < -1_000_000_000  # it said that it is 1970 there
    assert found["last_seen"] is not None
    line = next(each for each in pam_totp("store", "status").output.split("\n") if "web07" in each)
    assert "1.2.3" in line and "20 of 20" in line


def test_host_that_used_up_its_tries_needs_attention(store: Store, host: Any) -> None:
    for _ in range(25):
        host.execute("SELECT totp_api_1.submit('nobody', '123456', 'sshd', '')")
    found = status()
    assert of_host(found)["tries_left"] == 0
    assert [each for each in found["attention"] if "web07 has used up its tries" in each]


def test_tries_whose_answer_nobody_asked_for_need_attention(store: Store, host: Any) -> None:
    for _ in range(12):
        host.execute("SELECT totp_api_1.submit('nobody', '123456', 'sshd', '')")
    with store.connect() as connection:
        connection.execute("UPDATE totp.attempt SET at = at - 60")
    found = status()
    assert of_host(found)["unrevealed"] == 12
    (said,) = [
        each for each in found["attention"] if "did not ask for the answers to 12 tries" in each
    ]
    assert said.endswith("; run: pam-totp store remove web07")


CHANGES = [
    "ALTER ROLE web07 SET application_name = 'of any size'",
    "ALTER ROLE web07 SET work_mem = '8MB'",
    "ALTER ROLE web07 RESET lock_timeout",
    "ALTER ROLE web07 RESET ALL",
    "ALTER ROLE web07 IN DATABASE postgres SET application_name = 'x'",
    f"ALTER ROLE web07 PASSWORD '{long_verifier()}'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
]


@pytest.mark.parametrize("change", CHANGES, ids=[each[:40] for each in CHANGES])
def test_host_that_changes_its_own_role_needs_attention(
    store: Store, host: Any, change: str
) -> None:
    host.execute(change)
    (said,) = status()["attention"]
    assert said.startswith("web07 has changed its own role, which only a stolen host does")
    assert said.endswith("; run: pam-totp store remove web07")
    assert pam_totp("store", "remove", "web07").code == 0
    store.add("web07")
    assert status()["attention"] == []


def test_host_that_replaces_its_password_needs_none(store: Store, host: Any) -> None:
    assert pam_totp("store", "join", "--again").code == 0
    assert status()["attention"] == []


def test_transaction_that_a_host_holds_open_needs_attention(store: Store, host: Any) -> None:
    host.execute("SET idle_in_transaction_session_timeout = 0")
    host.execute("BEGIN")
    host.execute("SELECT pg_sleep(2.2)")
    found = status()
    assert [each["host"] for each in found["holders"]] == ["web07"]
    assert [each for each in found["attention"] if "web07 holds a transaction open" in each]
    host.execute("ROLLBACK")


@pytest.fixture
def standby(store: Store) -> Any:
    """A server that has joined, and is away."""
    assert pam_totp("store", "add", "--standby", "db2").code == 0
    with store.connect() as connection:
        connection.execute("INSERT INTO totp.standby VALUES ('db2', 5433, '{}')")
    yield
    assert pam_totp("store", "remove", "db2").code == 0


@pytest.mark.parametrize(
    ("told", "known", "is_named"),
    [
        ("db1:5432", ["db1:5432"], True),
        ("db1:5432,DB2:5433", ["db1:5432", "db2:5433"], False),
        ("db2:5432", ["db2:5432"], True),
        (",".join(["db1:1"] * 8), ["db1:1"] * 8, True),
        # A host that says nothing of this form has not said which servers it knows.
        (",".join(["db1:1"] * 9), None, False),
        ("x" * 3000, None, False),
        ("db1:1'; DROP", None, False),
        ("db1:1\n", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_host_that_does_not_know_all_servers_is_named_with_the_command(
    store: Store, host: Any, standby: None, told: str, known: list[str], is_named: bool
) -> None:
    host.execute("SELECT totp_api_1.hello(0, '1.2.3', %s)", [told])
    found = status()
    assert of_host(found)["servers"] == known
    assert of_host(found)["unknown_servers"] == (["db2:5433"] if is_named else [])
    said = [each for each in found["attention"] if each.startswith("web07 does not know db2:5433")]
    assert len(said) == is_named
    if said:
        command = "pam-totp store join --again --server db2:5433"
        assert said[0].endswith(f"there, run: {command}")


def test_host_speaks_of_its_own_servers_alone(store: Store, host: Any, standby: None) -> None:
    store.add("other")
    host.execute("SELECT totp_api_1.hello(0, '1.2.3', 'db1:5432')")
    other = next(each for each in status()["hosts"] if each["name"] == "other")
    assert other["servers"] is None
    assert pam_totp("store", "remove", "other").code == 0


def test_removed_host_is_not_shown_and_its_session_is_ended(store: Store, host: Any) -> None:
    assert pam_totp("store", "remove", "web07").code == 0
    assert "web07" not in [each["name"] for each in status()["hosts"]]
    row = store.row("SELECT count(*) FROM pg_stat_activity WHERE usename = 'web07'")
    assert row == (0,)


def test_codes_refused_after_a_restore_are_told(store: Store) -> None:
    assert status()["store"]["refuses_now"] is False
    assert pam_totp("store", "restored").code == 0
    assert "before the promotion or restore are refused until" in pam_totp("store", "status").output
    with store.connect() as connection:
        connection.execute("UPDATE totp.store SET no_step_before = 0")


def test_a_clock_that_was_ahead_at_a_failover_needs_attention(store: Store) -> None:
    with store.connect() as connection:
        connection.execute("UPDATE totp.store SET no_step_before = totp.clock() + 86400")
    (said,) = status()["attention"]
    assert said.startswith("the clock was ahead when this server took over")
    assert pam_totp("store", "restored").code == 0
    assert status()["attention"] == []
    with store.connect() as connection:
        connection.execute("UPDATE totp.store SET no_step_before = 0")


def test_schema_of_another_release_needs_attention(store: Store) -> None:
    with store.connect() as connection:
        connection.execute("UPDATE totp.store SET schema_version = 99")
        try:
            (said,) = status()["attention"]
        finally:
            connection.execute("UPDATE totp.store SET schema_version = 1")
    assert "the schema is of a later release" in said


def test_server_that_hangs_keeps_no_command_waiting(store: Store) -> None:
    server = int((DATA / "postmaster.pid").read_text().split()[0])
    os.kill(server, signal.SIGSTOP)
    try:
        done = pam_totp("store", "status")
    finally:
        os.kill(server, signal.SIGCONT)
    assert_refused(done, "the store does not answer on this machine: connection timeout expired")
    assert status()["attention"] == []


def test_without_a_store_the_command_that_makes_one_is_told(no_store: None) -> None:
    done = pam_totp("store", "status")
    assert_refused(done, "there is no cluster pam_totp on this machine")
    assert done.errors.endswith("which `pam-totp store init` makes.\n")
