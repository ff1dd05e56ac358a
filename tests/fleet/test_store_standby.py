# SPDX-License-Identifier: MIT
"""A second database server: made by a line and the key file, killed while it is made, told before a
new key is used, promoted, and an old primary that comes back as its standby."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands.commands import Answer, assert_keys_as_documented, assert_refused
from tests.fleet.machines import Machine, Network
from tests.fleet.store import DATA, KILLED, SETTINGS, VERSION

KEY, NEXT_KEY = "/etc/pam-totp/fleet-key.1", "/etc/pam-totp/fleet-key.2"
PSQL = ("psql", "-XAtq", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "pam_totp")


class Database:
    """A database server on a machine of its own."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.write("/etc/pam-totp/config.yaml", "store: system\n")

    def store(self, *words: str, typed: str = "") -> Answer:
        """`pam-totp store WORDS`."""
        done = self.machine.run("pam-totp", "store", *words, typed=typed, timeout=100)
        return Answer(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str, typed: str = "") -> Any:
        """What `pam-totp store WORDS --json` answers."""
        done = self.store(*words, "--json", typed=typed)
        assert done.code == 0, done
        assert_keys_as_documented("store", done.output, words[0])
        return json.loads(done.output)

    def status(self) -> Any:
        done = self.store("status", "--json")
        assert done.errors == "", done.errors
        assert_keys_as_documented("store", done.output, "status")
        return json.loads(done.output)

    def sql(self, statement: str) -> str:
        return self.machine.must_run(*PSQL, "-p", "6000", "-c", statement).strip()

    def standby_line(self, name: str) -> str:
        line: str = self.must("add", "--standby", name)["lines"][0]["line"]
        return line

    def give(self, other: "Database", path: str) -> None:
        """scp, as the hint has it."""
        content = self.machine.path(path).read_bytes()
        other.machine.path(path).write_bytes(content)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Database, Database]]:
    """A primary, and a standby server that follows it."""
    with Network("db1", "db2") as network:
        db1, db2 = Database(network["db1"]), Database(network["db2"])
        db1.must("init", "--listen", "db1", "--port", "6000")
        line = db1.standby_line("db2")
        done = db2.store("standby", "-", "--port", "6000", typed=line)
        assert_refused(done, f"there is no {KEY} on this server; nothing was changed")
        assert done.errors.endswith(f"hint: scp -p root@db1:{KEY} {KEY}\n")
        db2.machine.path(KEY).write_bytes(b"x" * 32)
        # Without its last part the line would not say which key is the right one.
        cut = db2.store("standby", "-", "--port", "6000", typed=line.rpartition("/")[0])
        assert_refused(
            cut, "this is a line of a login host, or not all of one for a standby server"
        )
        assert_refused(
            db2.store("standby", "-", "--port", "6000", typed=line),
            f"{KEY} is not the key of this store; nothing was changed",
        )
        db1.give(db2, KEY)
        killed_at_some_steps(db2, line)
        yield db1, db2


def killed_at_some_steps(server: Database, line: str) -> None:
    """Each run comes further than the one before it. The last one is not killed."""
    words = ("store", "standby", "-", "--port", "6000")
    for number in (2, 5, 7, 10, 1000):
        python = ("/usr/bin/python3", "-BIS", KILLED, str(number), "/tmp/step")
        done = server.machine.run(*python, *words, typed=line)
        assert done.returncode in ((0,) if number == 1000 else (0, 137, -9)), done.stderr


def test_standby_that_was_killed_while_it_was_made_follows_in_the_end(
    pair: tuple[Database, Database],
) -> None:
    db1, db2 = pair
    (standby,) = db1.status()["standbys"]
    assert (standby["name"], standby["state"], standby["has_key"]) == ("db2", "streaming", True)
    assert db1.status()["needs_attention"] is False
    assert db2.status()["server"]["role"] == "standby"
    assert db2.status()["needs_attention"] is False


def test_line_of_a_standby_is_worthless_after_it(pair: tuple[Database, Database]) -> None:
    db1, db2 = pair
    line = db1.standby_line("db2")
    assert db2.must("standby", "-", typed=line)["changed"] is False
    db2.machine.must_run("rm", "/etc/pam-totp/standby.password")
    done = db2.store("standby", "-", typed=line)
    assert_refused(done, "because the line was used already, or is not the newest one")
    assert db2.must("standby", "-", typed=db1.standby_line("db2"))["changed"] is False


def test_its_password_and_key_are_in_no_copy_of_the_data(pair: tuple[Database, Database]) -> None:
    _, db2 = pair
    password = db2.machine.path("/etc/pam-totp/standby.password").read_text().strip()
    key = db2.machine.path(f"{SETTINGS}/server.key").read_text().split("\n")[1]
    for secret in (password, key):
        assert db2.machine.run("grep", "-rlF", secret, str(DATA)).stdout == ""


def test_hosts_learn_of_both_servers(pair: tuple[Database, Database]) -> None:
    db1, _ = pair
    line = db1.must("add", "web07")["lines"][0]["line"]
    assert re.fullmatch(r"web07:[a-z2-7]{26}@db1:6000,db2:6000/[0-9a-f]{32}", line)


def test_init_on_a_standby_is_refused(pair: tuple[Database, Database]) -> None:
    assert_refused(pair[1].store("init"), "this server is a standby")


def test_standby_on_the_primary_is_refused(pair: tuple[Database, Database]) -> None:
    db1, _ = pair
    line = db1.standby_line("db3")
    assert_refused(db1.store("standby", "-", typed=line), "has a cluster pam_totp already")
    assert db1.must("remove", "db3")["standby"] is True


def test_standby_that_is_stopped_needs_attention(pair: tuple[Database, Database]) -> None:
    db1, db2 = pair
    db2.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "stop")
    try:
        done = db1.store("status")
        assert done.code == 1
        assert "Attention: the standby server db2 is not connected" in done.output
    finally:
        db2.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "start")


def test_new_key_is_used_only_once_every_standby_has_it(pair: tuple[Database, Database]) -> None:
    db1, db2 = pair
    db1.sql(
        "SELECT totp_admin_1.import_credential(name, decode(repeat('61', 20), 'hex'), 'sha1', 6,"
        " 30, 0, 'phone', -1) FROM unnest(ARRAY['alice', 'bob']) AS name"
    )
    done = db1.store("reseal")
    assert_refused(done, f"the standby server db2 has not said that it has {NEXT_KEY}")
    assert done.errors.endswith(f"hint: scp -p {NEXT_KEY} root@db2:{NEXT_KEY}\n")
    assert db1.sql("SELECT DISTINCT key_version FROM totp.credential") == "1"
    db2.machine.path(NEXT_KEY).write_bytes(b"x" * 32)
    db2.must("standby")
    assert_refused(db1.store("reseal"), "the standby server db2 has not said")
    db1.give(db2, NEXT_KEY)
    db2.must("standby")
    assert db2.machine.path(NEXT_KEY).group() == "postgres"
    said = db1.must("reseal")
    assert (said["key_file"], said["old_key_files"], said["secrets"]) == (NEXT_KEY, [KEY], 2)
    assert db1.sql("SELECT DISTINCT key_version FROM totp.credential") == "2"
    for server in pair:
        server.machine.must_run("rm", KEY)
        assert server.status()["attention"] == []
    db2.machine.must_run("rm", NEXT_KEY)
    assert f"there is no {NEXT_KEY}" in db2.status()["attention"][0]
    db1.give(db2, NEXT_KEY)
    db2.must("standby")


def test_lost_key_is_copied_from_the_other_server(pair: tuple[Database, Database]) -> None:
    for server, other in (pair, pair[::-1]):
        path = server.machine.path(NEXT_KEY)
        kept = path.read_bytes()
        path.unlink()
        scp = f"scp -p root@{other.machine.name}:{NEXT_KEY} {NEXT_KEY}"
        assert server.status()["attention"] == [f"there is no {NEXT_KEY}; run: {scp}"]
        path.write_bytes(kept)
        server.machine.must_run("chown", "root:postgres", NEXT_KEY)
        server.machine.must_run("chmod", "640", NEXT_KEY)
        assert server.status()["attention"] == []


def starts_with_machine(server: Database) -> bool:
    """As Debian's units for PostgreSQL read it."""
    text = server.machine.path(f"{SETTINGS}/start.conf").read_text()
    return [each for each in text.split("\n") if each and each[0] != "#"] == ["auto"]


def test_server_that_does_not_start_with_its_machine_needs_attention(
    pair: tuple[Database, Database],
) -> None:
    for server in pair:
        server.machine.must_run("sh", "-c", f"echo manual >{SETTINGS}/start.conf")
        (said,) = server.status()["attention"]
        server.machine.must_run("sh", "-c", said.partition("; run: ")[2])
        assert server.status()["attention"] == []
        assert starts_with_machine(server)


def test_old_primary_comes_back_as_the_standby(pair: tuple[Database, Database]) -> None:
    db1, db2 = pair
    db1.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "stop")
    db2.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "promote")
    db1.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "start")
    status = db2.status()
    assert status["standbys"] == [] and status["attention"] == []  # it is no standby of its own
    assert status["server"]["promoted_from"] == "db1"
    said = db2.store("status").output
    assert "It was promoted in place of db1, which must not start again as a primary." in said
    (stop,) = [each.strip() for each in said.split("\n") if "start.conf" in each]
    away = "db2 is not connected; if it was promoted, this server must not run any more: "
    assert db1.status()["attention"] == [f"the standby server {away}{stop}"]
    db1.machine.must_run("sh", "-c", stop)
    assert "down" in db1.machine.must_run("pg_lsclusters", "--no-header")
    assert starts_with_machine(db1) is False
    line = db2.standby_line("db1")
    refused = db1.store("standby", "-", typed=line)
    assert_refused(refused, "has a cluster pam_totp already")
    assert "--replace" in refused.errors
    done = db1.must("standby", "-", "--replace", typed=line)
    assert f"moved the data of the old cluster to {DATA}.replaced" in done["did"]
    (standby,) = db2.status()["standbys"]
    assert (standby["name"], standby["state"], standby["has_key"]) == ("db1", "streaming", True)
    assert starts_with_machine(db1) is True
    assert "It was promoted in place of" not in db2.store("status").output
    assert db1.status()["server"]["role"] == "standby"
    resealed = db2.store("reseal")  # waits for db1 alone
    assert_refused(resealed, "the standby server db1 has not said that it has ")
    assert db2.must("add", "web08")["lines"][0]["line"].partition("@")[2].startswith("db2:6000,db1")
