# SPDX-License-Identifier: MIT
"""Several machines on a network of their own, for tests and for scripts/demo-fleet.

    with Network("db1", "web07") as network:
        network["db1"].must_run("hostname")

Each machine is a throw-away host (tests/host/enter) inside this one: its files, processes, host
name and network are its own, and it has all that was installed here before it. It starts within
some hundredths of a second, and ends with the process that made it. Nothing here needs pytest.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ENTER = REPOSITORY / "tests" / "host" / "enter"
BRIDGE = "machines"
FIRST_ADDRESS = 11  # of 192.0.2.0/24, which RFC 5737 keeps for documentation
NOBODY = "02:00:00:00:00:ff"  # a card that no machine has
SECONDS = 20
# Runs as long as the machine, which ends with it. It ends all processes but itself at a line.
KEEPER = "echo ready; while read -r line; do kill -KILL -1 2>/dev/null; echo ready; done"
FORGET = "find /etc/pam-totp /var/lib/pam-totp /run/pam-totp -type f -delete 2>/dev/null; true"
SSH_OPTIONS = (
    *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"),
    *("NumberOfPasswordPrompts=1", "PubkeyAuthentication=no"),
)


class MachineError(Exception):
    """A machine cannot be made, or a command failed on it that must not fail."""


class Machine:
    """One machine. `address` is what the others reach it at, also by its name."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"192.0.2.{number}"
        self.card = f"02:00:00:00:00:{number:02x}"
        self.link = f"to-{name}"
        self._outside = subprocess.Popen(
            [str(ENTER), "sh", "-c", KEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._wait_for_keeper()
        pid = self._outside.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        self._first = children.split()[0]
        self.must_run("sh", "-c", FORGET)  # what the host has of a store of its own

    def _wait_for_keeper(self) -> None:
        assert self._outside.stdout is not None
        if self._outside.stdout.readline() != b"ready\n":
            raise MachineError(f"{self.name} does not run")

    def command(self, *arguments: str) -> list[str]:
        """What runs a command on this machine, for those who start it themselves."""
        return ["nsenter", f"--target={self._first}", "--all", "--root", "--wdns=/root", *arguments]

    def run(
        self, *arguments: str, typed: str = "", timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        return subprocess.run(
            self.command(*arguments), input=typed, capture_output=True, text=True, timeout=timeout
        )

    def must_run(self, *arguments: str, typed: str = "") -> str:
        """Standard output of a command that must succeed."""
        done = self.run(*arguments, typed=typed)
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise MachineError(f"{self.name}# {' '.join(arguments)}: {done.returncode}\n{said}")
        return done.stdout

    def popen(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Starts a command; the machine ends it at the latest. `options` are subprocess.Popen's."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} | options
        process: subprocess.Popen[bytes] = subprocess.Popen(self.command(*arguments), **given)
        return process

    def path(self, name: str) -> Path:
        """A file of this machine, seen from outside; its sockets can be connected to, too."""
        return Path(f"/proc/{self._first}/root{name}")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def send(self, signal: str, *names: str) -> None:
        """A signal to every process of this machine with one of these names."""
        for name in names:
            self.run("pkill", f"--signal={signal}", "--exact", name)

    def end_all(self) -> None:
        """SIGKILL for all that runs there, as if its power were cut. Its files stay."""
        assert self._outside.stdin is not None
        self._outside.stdin.write(b"end all\n")
        self._outside.stdin.flush()
        self._wait_for_keeper()
        deadline = time.monotonic() + SECONDS
        while self._runs_more_than_its_keeper():
            if time.monotonic() > deadline:
                raise MachineError(f"on {self.name} something survived SIGKILL")
            time.sleep(0.005)

    def _runs_more_than_its_keeper(self) -> bool:
        for process in self.path("/proc").glob("[0-9]*"):
            try:
                state = process.joinpath("stat").read_bytes().rpartition(b") ")[2][:1]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if process.name not in ("1", "2") and state not in b"ZX":  # who started it may not ask
                return True
        return False

    def wait_for(self, name: str) -> None:
        """Until a file or a socket is there."""
        deadline = time.monotonic() + SECONDS
        while not self.path(name).exists():
            if time.monotonic() > deadline:
                raise MachineError(f"{self.name} has no {name}")
            time.sleep(0.02)

    def ssh(self, other: "Machine", user: str, *command: str) -> list[str]:
        """What logs in from this machine to another one, by a password and what PAM asks."""
        options = [f"-o{option}" for option in SSH_OPTIONS]
        return self.command("ssh", "-F/dev/null", *options, f"{user}@{other.name}", *command)

    def cut_off(self, *others: "Machine") -> None:
        """Packets between this machine and the others vanish; nobody is told."""
        for one, another in self._pairs(others):
            one.learn(another.address, NOBODY)

    def reconnect(self, *others: "Machine") -> None:
        for one, another in self._pairs(others):
            one.learn(another.address, another.card)

    def _pairs(self, others: tuple["Machine", ...]) -> Iterator[tuple["Machine", "Machine"]]:
        for other in others:
            yield self, other
            yield other, self

    def learn(self, address: str, card: str) -> None:
        """Which card has an address. The machine never asks the network for it, which would tell it
        that nobody is there."""
        self.network(f"neigh replace {address} lladdr {card} dev eth0 nud permanent")

    def network(self, *commands: str) -> None:
        """Runs commands of ip(8) there."""
        batch = "".join(f"{command}\n" for command in commands)
        inside = ["nsenter", f"--target={self._first}", "--net", "ip", "-batch", "-"]
        subprocess.run(inside, input=batch, text=True, check=True)

    def first_process(self) -> str:
        return self._first

    def kill(self) -> None:
        """Ends the machine for good: its processes, then its files."""
        self._outside.kill()
        self._outside.communicate()


class Network:
    """Machines by name, all on one network, each with all the names in /etc/hosts."""

    def __init__(self, *names: str) -> None:
        if os.environ.get("PAM_TOTP_THROWAWAY_HOST") != "1":
            raise MachineError("machines are made in a throw-away host: tests/host/enter")
        self._machines: dict[str, Machine] = {}
        self._ip(f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up")
        try:
            for number, name in enumerate(names, FIRST_ADDRESS):
                self._machines[name] = Machine(name, number)
            for machine in self:
                self._connect(machine)
        except BaseException:
            self.close()
            raise

    def _connect(self, machine: Machine) -> None:
        inside = f"name eth0 address {machine.card} netns {machine.first_process()}"
        self._ip(
            f"link add {machine.link} type veth peer {inside}",
            f"link set {machine.link} master {BRIDGE} up",
        )
        others = [other for other in self if other is not machine]
        machine.network(f"addr add {machine.address}/24 dev eth0", "link set eth0 up")
        for other in others:
            machine.learn(other.address, other.card)
        names = "".join(f"{each.address} {each.name}\n" for each in self)
        machine.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{names}")
        machine.write("/etc/hostname", f"{machine.name}\n")
        machine.must_run("hostname", machine.name)

    def _ip(self, *commands: str) -> None:
        batch = "".join(f"{command}\n" for command in commands)
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all machines, and the network. The kernel would end the cards some time later, and
        their names would be taken until then."""
        links = [*(machine.link for machine in self), BRIDGE]
        batch = "".join(f"link del {link}\n" for link in links)
        subprocess.run(["ip", "-force", "-batch", "-"], input=batch, text=True, capture_output=True)
        for machine in self:
            machine.kill()
        self._machines.clear()
