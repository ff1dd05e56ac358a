# SPDX-License-Identifier: MIT
"""A login host that was added before the standby server: it is named, told by the command that is
shown, and asks the new primary then. On machines of their own."""

from collections.abc import Iterator

import pytest

from tests.commands.commands import assert_refused
from tests.fleet.machines import Network
from tests.fleet.store import VERSION
from tests.fleet.test_store_standby import KEY, Database

CONF = "/etc/pam-totp/store.conf"
PORT = "6000"


@pytest.fixture(scope="module")
def fleet() -> Iterator[dict[str, Database]]:
    """db1, and db2 that joined after web07 and web08."""
    with Network("db1", "db2", "web07", "web08") as network:
        machines = {each.name: Database(each) for each in network}
        db1, db2 = machines["db1"], machines["db2"]
        db1.must("init", "--listen", "db1", "--port", PORT)
        lines = db1.must("add", "web07", "web08")["lines"]
        for line in lines:
            machines[line["name"]].must("join", "-", typed=line["line"])
        db1.give(db2, KEY)
        db2.must("standby", "-", "--port", PORT, typed=db1.standby_line("db2"))
        yield machines


def unknown(server: Database) -> dict[str, list[str]]:
    return {each["name"]: each["unknown_servers"] for each in server.status()["hosts"]}


def command_for(server: Database, name: str) -> list[str]:
    """What `store status` says that has to be run at a host."""
    (said,) = [each for each in server.status()["attention"] if name in each]
    return str(said.partition("run: ")[2]).split()


def test_host_is_told_of_a_server_before_the_failover_or_after_it(
    fleet: dict[str, Database],
) -> None:
    db1, db2, web07, web08 = fleet.values()
    assert unknown(db1) == {"web07": ["db2:6000"], "web08": ["db2:6000"]}
    web07.machine.must_run(*command_for(db1, "web07"))
    assert unknown(db1) == {"web07": [], "web08": ["db2:6000"]}
    assert "host=db1,db2 " in web07.machine.path(CONF).read_text()
    db1.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "stop", "--mode=fast")
    db2.machine.must_run("pg_ctlcluster", VERSION, "pam_totp", "promote")
    web07.must("join", "--again")
    assert_refused(web08.store("join", "--again"), "cannot connect to the store")
    web08.machine.must_run(*command_for(db2, "web08"))
    assert unknown(db2) == {"web07": [], "web08": []}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("db2:1", "cannot connect to db2:1"),
        ("nosuch", "cannot connect to nosuch"),
        ("web07", "cannot connect to web07"),
        ("db2:0", "no server can be named 'db2:0'"),
        ("db2 user=postgres", "no server can be named"),
        ("db2,db3", "no server can be named"),
    ],
)
def test_server_that_cannot_prove_what_it_is_is_not_added(
    fleet: dict[str, Database], name: str, fault: str
) -> None:
    host = fleet["web08"]
    before = host.machine.path(CONF).read_text()
    assert_refused(host.store("join", "--again", "--server", name), fault)
    assert host.machine.path(CONF).read_text() == before


def test_servers_are_added_with_again_alone(fleet: dict[str, Database]) -> None:
    done = fleet["web08"].store("join", "--server", "db2")
    assert done.code == 2
    assert "--server needs --again" in done.errors
