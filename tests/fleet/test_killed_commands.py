# SPDX-License-Identifier: MIT
"""What an administrator changes in the store, killed at each of its steps: no secret is lost, and
the next command completes it, or says what to do."""

import itertools
import re
from collections.abc import Callable

import psycopg
import pytest

from tests.commands.commands import assert_refused, pam_totp, run
from tests.fleet.store import Store, killed_at

PEOPLE = ("alice", "bob", "carol")
SECRET = b"twenty bytes of %5s"
OPEN = (
    "SELECT array_agg(totp.unseal(c.sealed, totp.place_of(p, c.id), c.key_version) ORDER BY p.name)"
    " FROM totp.credential c JOIN totp.person p ON p.id = c.person"
)


def every_kill(
    *arguments: str, before: Callable[[], object], after: Callable[[str], object], each: int = 1
) -> int:
    """Runs the command, killed at its first step, at its second one and so on, until it ends well;
    at which one it was killed last. each: leaves out those between."""
    for number in itertools.count(1, each):
        before()
        step = killed_at(number, *arguments)
        after(step or "none")
        if not step:
            return number - each
    raise AssertionError


def must(*arguments: str) -> None:
    done = pam_totp(*arguments)
    assert done.code == 0, (arguments, done.errors)


@pytest.fixture
def enrolled(store: Store) -> None:
    with store.connect() as connection:
        for name in PEOPLE:
            query = "SELECT totp_admin_1.import_credential(%s, %s, 'sha1', 6, 30, 0, 'phone', -1)"
            connection.execute(query, [name, SECRET % name.encode()])


def test_a_new_key_loses_no_secret(store: Store, enrolled: None) -> None:
    secrets = [SECRET % name.encode() for name in PEOPLE]

    def completed(step: str) -> None:
        assert store.row(OPEN) == (secrets,), step
        must("store", "reseal")
        assert store.row(OPEN) == (secrets,), step
        assert pam_totp("store", "status").code == 0, step
        in_use = (
            "SELECT bool_and(c.key_version = s.key_version) FROM totp.credential c, totp.store s"
        )
        assert store.row(in_use) == (True,), step

    kills = every_kill("store", "reseal", before=lambda: None, after=completed)
    assert kills >= 5


def test_a_host_is_out_or_the_next_command_throws_it_out(store: Store) -> None:
    passwords = []

    def add() -> None:
        passwords.append(store.add("web70").partition(":")[2].partition("@")[0])

    def is_out(step: str) -> None:
        must("store", "remove", "web70")
        with pytest.raises(psycopg.OperationalError):
            store.as_host("web70", passwords[-1])
        left = store.row("SELECT left_at IS NOT NULL FROM totp.host WHERE name = 'web70'")
        assert left == (True,), step

    assert every_kill("store", "remove", "web70", before=add, after=is_out) >= 2


def test_a_standby_server_is_out_or_the_next_command_throws_it_out(store: Store) -> None:
    def is_out(step: str) -> None:
        again = pam_totp("store", "remove", "db9")
        assert again.code == 0 or "the store has no host db9" in again.errors, step
        assert store.row("SELECT count(*) FROM pg_roles WHERE rolname = 'db9'") == (0,), step

    def add() -> None:
        store.add("--standby", "db9")

    assert every_kill("store", "remove", "db9", before=add, after=is_out) >= 3


def test_a_host_that_was_added_and_not_shown_is_added_by_the_command_that_is_hinted(
    store: Store,
) -> None:
    def remove() -> None:
        pam_totp("store", "remove", "web71")

    def can_be_added(step: str) -> None:
        done = pam_totp("store", "add", "web71")
        if done.code != 0:
            assert_refused(done, "the store already has a host web71")
            (command,) = re.findall(r"run: (.*)", done.errors)
            assert run(["sh", "-c", command]).code == 0, step

    last = every_kill("store", "add", "web71", before=remove, after=can_be_added, each=4)
    assert last >= 5


def test_of_hosts_of_which_one_cannot_be_added_none_is(store: Store) -> None:
    """Their lines would be shown to nobody."""
    store.add("web73")
    assert_refused(pam_totp("store", "add", "web74", "web73"), "already has a host web73")
    assert store.row("SELECT count(*) FROM pg_roles WHERE rolname = 'web74'") == (0,)
    store.add("web74")


@pytest.mark.parametrize(
    "arguments",
    [
        ("reset", "--fleet", "--yes", "alice"),
        ("unlock", "--fleet", "alice"),
        ("recovery-codes", "--fleet", "--user", "alice"),
        ("invite", "alice"),
    ],
    ids=lambda words: words[0],
)
def test_a_change_of_a_person_can_be_made_again(
    store: Store, enrolled: None, arguments: tuple[str, ...]
) -> None:
    def again(step: str) -> None:
        done = pam_totp(*arguments)
        assert done.code == 0, (step, done.errors)

    assert every_kill(*arguments, before=lambda: None, after=again) >= 0
