# SPDX-License-Identifier: MIT
"""A store that is an older one again: a dump, a point in time, a copy of the disk."""

from tests.fleet.database_server import DATA, Server
from tests.fleet.whole_fleet import FLOOR_SECONDS, Answer, Fleet

DUMP, ROLES, ARCHIVE = "/var/lib/postgresql/dump", "/var/lib/postgresql/roles", "/srv/archive"
PROMOTED = Answer("ok", False, "store-promoted")


def refuses_until_the_floor(pair: Fleet, primary: Server, person: str) -> None:
    """Asserts that the server refuses the code that the store of before accepted, and takes a later
    one, once."""
    here, there = pair.hosts
    for code in (pair.code(), pair.code(+1)):
        assert [host.check(person, code) for host in pair.hosts] == [PROMOTED, PROMOTED]
    pair.move_clock(primary, FLOOR_SECONDS)
    assert here.check(person, pair.code()).reason == "totp"
    assert there.check(person, pair.code()).reason == "reused-code"


def test_a_restored_dump_accepts_no_code_that_was_used_after_it_was_made(pair: Fleet) -> None:
    """The dump, and the roles of all hosts, on another server: they find it by themselves."""
    (alice,) = pair.people()
    pair.first.program("pg_dump", "--format=custom", f"--file={DUMP}", "pam_totp")
    pair.first.program("pg_dumpall", "--globals-only", f"--file={ROLES}")
    assert pair.hosts[0].check(alice, pair.code()).reason == "totp"
    pair.first.kill()
    new = pair.second
    new.make_empty()
    for name in (DUMP, ROLES):
        new.machine.write(name, "")
        new.machine.path(name).write_bytes(pair.first.machine.path(name).read_bytes())
    new.program("psql", "--quiet", f"--file={ROLES}", "postgres")  # there is a postgres already
    new.program("pg_restore", "--create", "--exit-on-error", "--dbname=postgres", DUMP)
    refuses_until_the_floor(pair, new, alice)


def test_a_recovery_to_a_point_in_time_accepts_no_code_that_was_used_after_it(
    pair: Fleet,
) -> None:
    (alice,) = pair.people()
    server = pair.first
    server.stop()
    server.copy_data("base")
    server.start()
    server.sql("SELECT pg_create_restore_point('before')")
    assert pair.hosts[0].check(alice, pair.code()).reason == "totp"
    server.stop()
    server.machine.must_run("cp", "-a", f"{DATA}/pg_wal", ARCHIVE)
    server.put_back("base")
    server.machine.write(f"{DATA}/recovery.signal", "")
    with server.machine.path(f"{DATA}/postgresql.auto.conf").open("a", encoding="ascii") as file:
        file.write(
            f"restore_command = 'cp {ARCHIVE}/%f %p'\n"
            "recovery_target_name = 'before'\nrecovery_target_action = 'promote'\n"
        )
    server.start()
    server.wait_until_promoted()
    refuses_until_the_floor(pair, server, alice)


def test_a_copy_of_the_disk_that_was_put_back_accepts_no_used_code_once_root_has_said_so(
    pair: Fleet,
) -> None:
    """By itself the store cannot know: server and timeline are the same."""
    (alice,) = pair.people()
    server = pair.first
    server.stop()
    server.copy_data("base")
    server.start()
    assert pair.hosts[0].check(alice, pair.code()).reason == "totp"
    server.put_back("base")
    server.start()
    server.machine.must_run("pam-totp", "store", "restored")
    refuses_until_the_floor(pair, server, alice)


def test_a_copy_that_was_put_back_is_not_believed_about_who_has_not_enrolled(
    pair: Fleet,
) -> None:
    """Until root says that it is the store now."""
    here = pair.hosts[0]
    server = pair.first
    server.stop()
    server.copy_data("base")
    server.start()
    (alice,) = pair.people()
    assert here.ask("standing", alice)[:2] == ["ok", "enrolled"]
    server.put_back("base")
    server.start()
    assert here.ask("standing", alice)[:2] == ["ok", "disbelieved"]
    server.machine.must_run("pam-totp", "store", "restored")
    here.restart()
    here.wait_for_store()
    assert here.ask("standing", alice)[:2] == ["ok", "not-enrolled"]
