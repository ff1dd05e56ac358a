# SPDX-License-Identifier: MIT
"""One name is a login host or a database server, never both; and there is a way from one to the
other."""

from collections.abc import Iterator

import pytest

from tests.commands.commands import Answer, assert_refused, pam_totp
from tests.fleet.store import Store

NAME = "db7"


@pytest.fixture
def no_name(store: Store) -> Iterator[None]:
    yield
    pam_totp("store", "remove", NAME)


def add(*words: str) -> Answer:
    return pam_totp("store", "add", *words)


def run_hint(done: Answer) -> None:
    """The commands of the hint, as root pastes them."""
    commands = done.errors.rpartition("hint: ")[2].rpartition("run: ")[2].strip()
    for each in commands.split(" && "):
        program, *words = each.split()
        assert program == "pam-totp"
        assert pam_totp(*words).code == 0, each


def is_in(store: Store, group: str) -> bool:
    (found,) = store.row("SELECT pg_has_role(%s, %s, 'MEMBER')", NAME, group)
    return bool(found)


def test_login_host_becomes_a_standby_server_by_the_hint(store: Store, no_name: None) -> None:
    assert add(NAME).code == 0
    done = add("--standby", NAME)
    assert_refused(done, f"{NAME} was added as a login host")
    run_hint(done)
    assert is_in(store, "totp_standby") and not is_in(store, "totp_host")
    limits = "SELECT rolconfig, rolreplication, rolcanlogin FROM pg_roles WHERE rolname = %s"
    assert store.row(limits, NAME) == (None, True, True)


def test_host_with_rights_of_its_own_becomes_a_standby_server(store: Store, no_name: None) -> None:
    """Default privileges, which every role can set for itself, and give to another one."""
    line = store.add(NAME)
    password = line.partition("@")[0].rpartition(":")[2]
    with store.as_host(NAME, password) as connection:
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO totp_admin")
    assert pam_totp("store", "remove", NAME).code == 0
    assert add("--standby", NAME).code == 0


def test_standby_server_becomes_a_login_host_by_the_hint(store: Store, no_name: None) -> None:
    assert add("--standby", NAME).code == 0
    done = add(NAME)
    assert_refused(done, f"{NAME} was added as a standby server")
    run_hint(done)
    assert is_in(store, "totp_host") and not is_in(store, "totp_standby")


def test_removed_host_is_added_as_a_standby_server_and_back(store: Store, no_name: None) -> None:
    for words in ((NAME,), ("--standby", NAME), (NAME,), ("--standby", NAME)):
        assert add(*words).code == 0
        assert pam_totp("store", "remove", NAME).code == 0


def test_role_of_somebody_else_is_neither(store: Store) -> None:
    with store.connect() as connection:
        connection.execute("CREATE ROLE dba LOGIN")
        for words in (("dba",), ("--standby", "dba")):
            assert_refused(add(*words), "has a role dba that does not belong to the store")
        connection.execute("DROP ROLE dba")


@pytest.mark.parametrize("option", [[], ["--standby"]])
def test_database_server_is_no_host_of_itself(store: Store, option: list[str]) -> None:
    assert_refused(add(*option, "127.0.0.1"), "127.0.0.1 is this database server itself")


def test_of_several_hosts_all_are_added_or_none(store: Store, no_name: None) -> None:
    assert add(NAME).code == 0
    assert_refused(add("new1", "new2", NAME), f"the store already has a host {NAME}")
    found = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'new_'"
    assert store.row(found) == (0,)
    assert store.row("SELECT count(*) FROM totp.host WHERE name LIKE 'new_'") == (0,)
