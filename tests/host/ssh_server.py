# SPDX-License-Identifier: MIT
"""The real sshd of the host, on its loopback."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SSHD = "/usr/sbin/sshd"
HOST_KEY = Path("/etc/ssh/throwaway_host_key")
# The first value of a keyword wins: what a test gives comes before these.
BASE = f"""\
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication no
HostKey {HOST_KEY}
LogLevel VERBOSE
MaxStartups 200
PidFile none
Subsystem sftp /usr/lib/openssh/sftp-server
UseDNS no
"""
SECONDS_TO_START = 10
PORTS = iter(range(10_000, 30_000))  # below ip_local_port_range(7)
SNIPPETS = Path(__file__).resolve().parents[2] / "config" / "sshd"


def shipped_settings(name: str) -> str:
    """What config/sshd/`name`.conf tells sshd, for `start_sshd`."""
    return (SNIPPETS / f"{name}.conf").read_text(encoding="utf-8")


class SshServer:
    """One sshd in the foreground. `log()` is what it wrote itself; its modules write to syslog."""

    def __init__(self, configuration: str, port: int, program: str) -> None:
        self.port = port
        self._log = Path(f"/var/log/sshd-{port}.log")
        settings = Path(f"/etc/ssh/sshd_config-{port}")
        settings.write_text(self._merge(configuration), encoding="utf-8")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", str(settings)], stdin=subprocess.DEVNULL, stderr=log
            )
        self._wait_until_it_accepts()

    def _merge(self, configuration: str) -> str:
        """The test's settings, then ours, then the test's Match blocks, which run to the end."""
        head, match, blocks = configuration.partition("Match ")
        base = f"Port {self.port}\n{BASE}"
        if accepts("PerSourcePenalties no"):  # OpenSSH 9.8 on: refusals would shut out loopback
            base += "PerSourcePenalties no\n"
        return f"{head}\n{base}{match}{blocks}\n"

    def _wait_until_it_accepts(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            assert self._process.poll() is None, f"sshd did not start:\n{self.log()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"sshd does not accept:\n{self.log()}"
                time.sleep(0.02)

    @property
    def process(self) -> int:
        """The number of the one that waits for connections."""
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="backslashreplace")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def accepts(setting: str) -> bool:
    """Whether this release of sshd knows a setting; asks sshd itself, which changes nothing."""
    command = [SSHD, "-t", "-f", "/dev/null", "-h", str(HOST_KEY), "-o", setting]
    return subprocess.run(command, capture_output=True).returncode == 0


def free_port() -> int:
    """A port that nobody listens at. It is none that the kernel gives to whoever connects: asked
    whether a server accepts yet, it could give that very port, which then is in use."""
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue  # a daemon of the host has it
    raise AssertionError("no port is free")


@pytest.fixture(scope="session")
def host_key() -> None:
    assert shutil.which(SSHD), "openssh-server is not installed"
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(HOST_KEY)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")  # enable judges every sshd that runs
def sshd(host_key: None) -> Iterator[SshServer]:
    """sshd on port 22, as the README sets it up: keyboard-interactive, through PAM."""
    server = SshServer("", 22, SSHD)
    yield server
    server.stop()


@pytest.fixture
def start_sshd(host_key: None) -> Iterator[Callable[..., SshServer]]:
    """`start_sshd("AuthenticationMethods …")`: more servers, each on its own port.

    `program`, a link to sshd, gives it another name and so another PAM service.
    """
    servers: list[SshServer] = []

    def start(configuration: str = "", program: str = SSHD) -> SshServer:
        servers.append(SshServer(configuration, free_port(), program))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
