# SPDX-License-Identifier: MIT
"""A whole fleet: two database servers and two login hosts, set up by the commands of the manual."""

import base64
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyotp
import pytest

from tests.fleet.database_server import VERSION, Server
from tests.fleet.machines import SECONDS, Machine, Network
from tests.host.programs import LOGIN, VERIFY

AGENT = "/usr/libexec/pam-totp/agent"
ACTIVATOR = ("/usr/bin/python3", "-IS", str(Path(__file__).with_name("activator.py")))
RUNTIME = "/run/pam-totp"  # systemd makes it, and the folder of the agent
DOOR = f"{RUNTIME}/agent.sock"
KEYS = "/etc/pam-totp"
SETTINGS = "/etc/pam-totp/config.yaml"
SEEN = "/var/lib/pam-totp-agent"
PORT = "5432"
NO_LIMIT = 1_000_000  # tries of one host
# Far more than an answer may take: who reaches it was never answered.
HANGS_SECONDS = 20
STEP_SECONDS = 30
# A phone's clock and the window: after so many seconds a promoted server takes codes again.
FLOOR_SECONDS = 71
IMPORT = (
    "SELECT count(*) FROM (SELECT totp_admin_1.import_credential('{name}' || n,"
    " '\\x{secret}'::bytea, 'sha1', 6, 30, 0, 'phone', 0) FROM generate_series(1, {count}) n"
    " OFFSET 0) each"
)


class NoAnswer(Exception):
    """The agent is not there, or it ended before it answered."""


@dataclass(frozen=True)
class Answer:
    """Of an agent. kind: ok, no, unavailable, or none. reason: why, or for unavailable what it
    says. text: all of it."""

    kind: str
    accepted: bool
    reason: str
    text: str = field(compare=False, default="")


class Host:
    """A login host, and its agent."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._activator: subprocess.Popen[bytes] | None = None

    def start(self, *through: str) -> None:
        """Listens for questions; the first one starts the agent, `through` a command."""
        for folder in (SEEN, RUNTIME):
            self.machine.path(folder).mkdir(mode=0o700, exist_ok=True)
        self.machine.path(DOOR).unlink(missing_ok=True)
        self._activator = self.machine.popen(*ACTIVATOR, DOOR, *through, AGENT)
        self.machine.wait_for(DOOR)

    def stop(self) -> None:
        """SIGKILL for the agent and what holds its socket."""
        self.machine.end_all()
        if self._activator is not None:
            self._activator.kill()  # one that was stopped does not see that its program has ended
            self._activator.wait()

    def restart(self, *through: str) -> None:
        """As after a boot."""
        self.stop()
        self.start(*through)

    def wait_for_store(self) -> None:
        """Until its agent has a connection. A first one may take longer than an answer may, on a
        machine that is busy with other work, and the store is then unavailable, as it should be."""
        deadline = time.monotonic() + SECONDS
        while self.ask("info")[0] != "ok":
            assert time.monotonic() < deadline, f"{self.machine.name} does not reach the store"

    def signal_agent(self, name: str) -> None:
        """To the agent alone; who connects later starts the next one."""
        self.machine.run("pkill", f"--signal={name}", "--full", f"^/usr/bin/python3 -BIS {AGENT}")

    def forget(self) -> None:
        """As if this host had never seen the store: it has seen none of the test before."""
        shutil.rmtree(self.machine.path(SEEN), ignore_errors=True)

    def ask(self, verb: str, *fields: str) -> list[str]:
        """The fields of an answer. Raises NoAnswer; TimeoutError if the agent hangs."""
        line = b""
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(HANGS_SECONDS)
            try:
                agent.connect(str(self.machine.path(DOOR)))
                agent.sendall("\0".join((verb, *fields)).encode() + b"\n")
                while not line.endswith(b"\n"):
                    part = agent.recv(65536)
                    if not part:
                        raise NoAnswer(line)
                    line += part
            except (ConnectionError, FileNotFoundError) as failure:
                raise NoAnswer(line) from failure
        return line.decode().rstrip("\n").split("\0")

    def verify(self, user: str, code: str) -> int:
        """What a login's `verify` answers, as pam_exec runs it."""
        variables = [f"{name}={value}" for name, value in (LOGIN | {"PAM_USER": user}).items()]
        return self.machine.run("env", "-i", *variables, VERIFY, typed=code).returncode

    def check(self, person: str, code: str) -> Answer:
        try:
            kind, *fields = self.ask("check", person, code, "sshd", "192.0.2.1")
        except NoAnswer:
            return Answer("none", False, "none")
        text = " ".join(fields)
        if kind != "ok":
            return Answer(kind, False, fields[0], text)
        return Answer(kind, fields[0] == "t", fields[1], text)


class Fleet:
    """servers: of db1, the primary at first, and db2. hosts: of web07 and web08."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.first, self.second = Server(network["db1"]), Server(network["db2"])
        self.hosts = [Host(network["web07"]), Host(network["web08"])]
        self._names = 0
        self._secret = secrets.token_bytes(20)
        self._now = time.time()  # of the store's clock, which stands in the tests

    def set_up(self) -> None:
        """From nothing to an asynchronous pair with two hosts."""
        first, second = self.first.machine, self.second.machine
        for machine in (first, second):
            machine.run("pg_dropcluster", VERSION, "main")
            machine.write(SETTINGS, "store: system\n")
        first.must_run("pam-totp", "store", "init", "--listen", "db1", "--port", PORT)
        self.stand_by(self.second, self.first)
        lines = self._lines(self.first, "web07", "web08", "--burst", str(NO_LIMIT))
        for host, line in zip(self.hosts, lines, strict=True):
            host.machine.must_run("pam-totp", "store", "join", "-", typed=line)
            host.machine.write(SETTINGS, "store: postgresql\n")
            host.start()

    def stand_by(self, server: Server, primary: Server, *options: str) -> None:
        """Makes a server the standby of another one, with its key files."""
        for key in primary.machine.path(KEYS).glob("fleet-key.*"):
            copy = server.machine.path(f"{KEYS}/{key.name}")
            copy.write_bytes(key.read_bytes())
            copy.chmod(0o640)
            server.machine.must_run("chown", "root:postgres", f"{KEYS}/{key.name}")
        (line,) = self._lines(primary, "--standby", server.machine.name)
        server.machine.must_run("pam-totp", "store", "standby", "-", *options, typed=line)

    @staticmethod
    def _lines(primary: Server, *arguments: str) -> list[str]:
        command = ["pam-totp", "store", "add", *arguments, "--json"]
        shown = json.loads(primary.machine.must_run(*command))
        return [f"{each['line']}\n" for each in shown["lines"]]

    def keep(self) -> None:
        """Remembers the state of both servers, which `begin_again` brings back."""
        self.first.wait_for_standby()
        for server in (self.first, self.second):
            server.stop()
            server.copy_data("kept")

    def begin_again(self) -> None:
        """An asynchronous pair with nobody enrolled, reachable for both hosts, whose agents run."""
        for server in (self.first, self.second):
            server.put_back("kept")
            server.start()
            server.machine.reconnect(
                *(other for other in self._network if other is not server.machine)
            )
        for host in self.hosts:
            host.stop()
            host.forget()
            host.start()
        self._now = time.time()
        self.first.stop_clock(self._now)
        self.first.wait_for_standby()
        for host in self.hosts:
            host.wait_for_store()

    def people(self, count: int = 1) -> list[str]:
        """New ones, each with the secret of `code`, which nobody has used a code of."""
        self._names += 1
        name = f"person{self._names}x"
        self.first.sql(IMPORT.format(name=name, secret=self._secret.hex(), count=count))
        return [f"{name}{number}" for number in range(1, count + 1)]

    def code(self, steps: int = 0) -> str:
        """Of the store's time, so many steps later; everybody's."""
        key = pyotp.TOTP(base64.b32encode(self._secret).decode("ascii"))
        return key.generate_otp(int(self._now) // STEP_SECONDS + steps)

    def move_clock(self, primary: Server, seconds: float) -> None:
        """The store's clock goes forward."""
        self._now += seconds
        primary.stop_clock(self._now)


@pytest.fixture(scope="module")
def running_fleet() -> Iterator[Fleet]:
    with Network("db1", "db2", "web07", "web08") as network:
        fleet = Fleet(network)
        fleet.set_up()
        fleet.keep()
        yield fleet


@pytest.fixture
def pair(running_fleet: Fleet) -> Fleet:
    """Two servers and two hosts, as `begin_again` leaves them."""
    running_fleet.begin_again()
    return running_fleet
