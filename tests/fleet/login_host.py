# SPDX-License-Identifier: MIT
"""This host as one of the store's login hosts: its files, its agent, its people."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.config import store_conf
from tests.fleet.database import Database, Person
from tests.host.accounts import User
from tests.host.programs import CONFIGURATION, RECORDS, STATE

AGENT = "/usr/libexec/pam-totp/agent"
SOCKET, USERS_SOCKET = RECORDS / "agent.sock", Path("/run/pam-totp-enroll.sock")
SEEN_BY_AGENT = Path("/var/lib/pam-totp-agent")
SEEN_BY_USERS_AGENT = Path("/var/lib/pam-totp-enroll")
HOST = "web07"
SETTINGS = "store: postgresql\n"


class LoginHost:
    """Of the store in `database`, by the name HOST. Its agents are started by hand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._agents: list[subprocess.Popen[bytes]] = []
        if HOST not in database.passwords:
            database.add_host(HOST)
        CONFIGURATION.parent.mkdir(exist_ok=True)
        self.configure()
        CONFIGURATION.write_text(SETTINGS)

    @property
    def store(self) -> str:
        return str(self.database.value("SELECT id FROM totp.store"))

    def configure(
        self,
        hosts: str = "",
        ports: str = "",
        *,
        more: str = "",
        store: str = "",
        password: str = "",
    ) -> None:
        """Writes store.conf and the password. more: keywords in place of channel_binding."""
        server = f"host={hosts or self.database.address} port={ports or self.database.port}"
        more = more or "sslmode=require channel_binding=require"
        conninfo = f"{server} dbname=pam_totp user={HOST} {more}"
        write_private(store_conf.PATH, f"store={store or self.store}\nconninfo={conninfo}\n")
        write_private(store_conf.PASSWORD_PATH, f"{password or self.database.passwords[HOST]}\n")

    def start(self, *options: str, path: Path = SOCKET) -> "subprocess.Popen[bytes]":
        """An agent that listens; with --for-users for all, as systemd's socket unit does it."""
        for folder in (SEEN_BY_AGENT, SEEN_BY_USERS_AGENT):
            folder.mkdir(mode=0o700, exist_ok=True)
        RECORDS.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        agent = subprocess.Popen([AGENT, "--listen", str(path), *options])
        self._agents.append(agent)
        wait_for_socket(path)
        return agent

    def start_for_users(self) -> "subprocess.Popen[bytes]":
        state = ["--state", str(SEEN_BY_USERS_AGENT)]
        agent = self.start("--for-users", *state, path=USERS_SOCKET)
        USERS_SOCKET.chmod(0o666)
        return agent

    def restart(self) -> "subprocess.Popen[bytes]":
        self.stop()
        return self.start()

    def stop(self) -> None:
        for agent in self._agents:
            if agent.poll() is None:
                os.kill(agent.pid, signal.SIGCONT)
                agent.kill()
                agent.wait()
        self._agents.clear()

    def clean_up(self) -> None:
        self.stop()
        # The last good settings too: without a file they would still apply.
        kept = [folder / "settings" / "last-good" for folder in (STATE, RECORDS)]
        joined = (Path(store_conf.PATH), Path(store_conf.PASSWORD_PATH))
        sockets = (SOCKET, USERS_SOCKET)
        for path in (*sockets, *joined, CONFIGURATION, *kept, *STATE.glob("outage/*")):
            path.unlink(missing_ok=True)
        for folder in (SEEN_BY_AGENT, SEEN_BY_USERS_AGENT):
            (folder / "seen").unlink(missing_ok=True)

    def enroll(self, user: User) -> Person:
        """The user's credential in the store."""
        return self.database.person(user.name)


def write_private(path: str, content: str) -> None:
    Path(path).write_text(content, encoding="ascii")
    Path(path).chmod(0o600)


def wait_for_socket(path: Path) -> None:
    for _ in range(1000):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
                return
            except OSError:
                time.sleep(0.01)
    raise AssertionError(f"nobody listens at {path}")


@pytest.fixture
def login_host(database: Database) -> Iterator[LoginHost]:
    """A host whose agent runs."""
    host = LoginHost(database)
    try:
        host.start()
        yield host
    finally:
        host.clean_up()
