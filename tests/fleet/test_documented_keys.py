# SPDX-License-Identifier: MIT
"""pam-totp(1) describes every key that --json prints of a fleet, and no other."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands.commands import assert_keys_as_documented, keys_not_in_manual, pam_totp
from tests.fleet.store import PASSWORD, Store, forget_join

SECRET = b"twenty bytes of alic"
WITH_FLEET = "With *--fleet*"


def printed(*arguments: str, typed: str = "") -> str:
    done = pam_totp(*arguments, "--json", typed=typed)
    assert done.errors == "", done.errors
    return done.output


@pytest.fixture(autouse=True)
def nobody_joined(store: Store) -> Iterator[None]:
    yield
    for name in ("web07", "web08", "db2"):
        pam_totp("store", "remove", name)
    forget_join()


@pytest.fixture
def alice(store: Store) -> Iterator[None]:
    """Somebody who is enrolled."""
    with store.connect() as connection:
        query = "SELECT totp_admin_1.import_credential('alice', %s, 'sha1', 6, 30, 0, 'phone', -1)"
        connection.execute(query, [SECRET])
        yield
        connection.execute("DELETE FROM totp.person")


def test_keys_of_making_and_joining_a_store(store: Store) -> None:
    assert_keys_as_documented("store", printed("store", "init"), "init")
    added = printed("store", "add", "web07")
    assert_keys_as_documented("store", added, "add")
    line = json.loads(added)["lines"][0]["line"]
    assert_keys_as_documented("store", printed("store", "join", "-", "--yes", typed=line), "join")
    assert_keys_as_documented("store", printed("store", "remove", "web07"), "remove")


def test_keys_of_the_status_of_a_store(store: Store) -> None:
    assert pam_totp("store", "add", "--standby", "db2").code == 0
    assert pam_totp("store", "join", "-", "--yes", typed=store.add("web08")).code == 0
    with store.as_host("web08", PASSWORD.read_text().strip()) as host:
        host.execute("SET idle_in_transaction_session_timeout = 0")
        host.execute("BEGIN")
        host.execute("SELECT pg_sleep(2.2)")
        output = printed("store", "status")
    found = json.loads(output)
    assert found["standbys"] and found["hosts"] and found["holders"] and found["attention"]
    assert_keys_as_documented("store", output, "status")


def test_keys_of_what_is_done_to_a_store(store: Store) -> None:
    for action in ("reseal", "restored"):
        assert_keys_as_documented("store", printed("store", action), action)


@pytest.mark.parametrize(
    ("command", "condition"),
    [
        (["invite", "alice"], ""),
        (["unlock", "--fleet", "alice"], WITH_FLEET),
        (["recovery-codes", "--fleet", "--user", "alice"], WITH_FLEET),
        (["reset", "--fleet", "alice", "--yes"], WITH_FLEET),
    ],
)
def test_keys_of_what_is_done_to_a_user(alice: None, command: list[str], condition: str) -> None:
    assert_keys_as_documented(command[0], printed(*command), condition=condition)


def row_of(output: str) -> dict[str, Any]:
    found = json.loads(output)
    row: dict[str, Any] = found[0] if isinstance(found, list) else found
    return row


def test_keys_of_what_the_store_knows_of_a_user(alice: None) -> None:
    assert pam_totp("grant", "root").code == 0
    of_host = printed("users")
    assert pam_totp("grant", "root", "--end").code == 0
    assert_keys_as_documented("users", of_host, condition="Of each user")
    of_fleet = printed("users", "--fleet")
    assert not keys_not_in_manual("users", of_fleet)
    assert set(row_of(of_fleet)) - set(row_of(of_host)) == {"invited_until", "reset_at"}
    assert set(row_of(of_host)) <= set(row_of(of_fleet))
    explained = printed("explain", "--fleet", "alice")
    assert set(row_of(explained)) - set(row_of(of_fleet)) == {"known", "told_to_hosts"}
    assert not keys_not_in_manual("explain", explained) & {"known", "told_to_hosts", "state"}
