# SPDX-License-Identifier: MIT
"""The machines of the fleet's tests: each is one of its own, and packets can vanish."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.machines import Machine, Network
from tests.host.terminal import converse


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network("red", "blue", "green") as network:
        yield network


def ping(machine: Machine, other: str) -> bool:
    """Whether a connection to the other's port for nothing is answered, by a refusal."""
    program = (
        "import errno, socket\n"
        f"print(socket.socket().connect_ex(({other!r}, 9)) == errno.ECONNREFUSED)\n"
    )
    command = ["timeout", "1", "/usr/bin/python3", "-IS", "-c", program]
    return str(machine.run(*command).stdout).strip() == "True"


def test_each_machine_has_its_own_name_files_and_processes(network: Network) -> None:
    red, blue = network["red"], network["blue"]
    red.must_run("sh", "-c", "echo red >/etc/color; echo red >/tmp/color; echo red >/var/color")
    sleeper = red.popen("sleep", "271828")
    red.wait_for("/etc/color")
    assert [machine.must_run("hostname").strip() for machine in network] == ["red", "blue", "green"]
    for name in ("/etc/color", "/tmp/color", "/var/color"):
        assert red.path(name).read_text() == "red\n"
        assert not blue.path(name).exists() and not Path(name).exists()
    assert red.run("pgrep", "-f", "sleep 271828").returncode == 0
    assert blue.run("pgrep", "-f", "sleep 271828").returncode == 1
    sleeper.kill()
    sleeper.wait()


def test_machines_reach_each_other_by_name(network: Network) -> None:
    assert all(ping(one, other.name) for one in network for other in network)


def test_packets_vanish_between_two_machines_and_no_others(network: Network) -> None:
    red, blue, _ = network
    red.cut_off(blue)
    assert not ping(red, "blue") and not ping(blue, "red")
    assert ping(red, "green") and ping(blue, "green")
    red.reconnect(blue)
    assert ping(red, "blue") and ping(blue, "red")


def test_what_runs_on_a_machine_ends_when_its_power_is_cut_and_its_files_stay(
    network: Network,
) -> None:
    red, blue, _ = network
    others, mine = (
        each.popen("sh", "-c", "touch /run/begun; exec sleep 314159") for each in (blue, red)
    )
    for each in (blue, red):
        each.wait_for("/run/begun")
    red.write("/var/kept", "kept")
    red.end_all()
    assert mine.wait(timeout=10) != 0
    assert red.must_run("cat", "/var/kept") == "kept"
    assert others.poll() is None
    others.kill()
    others.wait()


def test_a_socket_of_a_machine_is_reached_from_outside(network: Network) -> None:
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('/run/door'); s.listen()\n"
        "s.accept()[0].sendall(socket.gethostname().encode())\n"
    )
    server = network["green"].popen("/usr/bin/python3", "-IS", "-c", program)
    network["green"].wait_for("/run/door")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(network["green"].path("/run/door")))
        assert client.recv(100) == b"green"
    assert server.wait(timeout=10) == 0


def test_a_program_of_a_machine_has_a_terminal(network: Network) -> None:
    asks = "printf 'Name: '; read -r name </dev/tty; echo hello $name"
    command = network["blue"].command("sh", "-c", asks)
    assert "hello alice" in converse(command, [("Name:", "alice")]).transcript


def test_a_machine_takes_what_runs_on_it_with_it(network: Network) -> None:
    """The last test here: the machine is gone."""
    green = network["green"]
    sleeper = green.popen("sh", "-c", "touch /run/begun; exec sleep 314159")
    green.wait_for("/run/begun")
    green.kill()
    assert sleeper.wait(timeout=10) != 0
    assert not ping(network["red"], "green")
