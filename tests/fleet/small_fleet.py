# SPDX-License-Identifier: MIT
"""A login host of a fleet whose store is on the same machine: what people and administrators do."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.commands import configured
from tests.fleet.database import FAST, Database
from tests.fleet.login_host import wait_for_socket
from tests.host.accounts import User

REPOSITORY = Path(__file__).resolve().parents[2]
AGENT = ("/usr/bin/python3", "-BIS", str(REPOSITORY / "scripts" / "agent"))
ROOTS_SOCKET = Path("/run/pam-totp/agent.sock")
USERS_SOCKET = Path("/run/pam-totp-enroll.sock")
CONF, PASSWORD = Path("/etc/pam-totp/store.conf"), Path("/etc/pam-totp/store.password")
NAME = "web07"


class SmallFleet(Database):
    """The store in the cluster that commands look for, and this host as one of its login hosts."""

    def join(self, name: str = NAME, *, may_enroll: bool = False) -> None:
        """As `pam-totp store join` leaves a host."""
        self.add_host(name, may_enroll=may_enroll)
        store = self.value("SELECT id FROM totp.store")
        for path, text in (
            (CONF, f"store={store}\nconninfo={self.conninfo} user={name}\n"),
            (PASSWORD, f"{self.passwords[name]}\n"),
        ):
            path.touch(0o600)
            path.write_text(text, encoding="ascii")

    def start_agents(self) -> None:
        """Both, as systemd's sockets would start them."""
        state = Path("/var/lib/pam-totp-agent")
        state.mkdir(exist_ok=True)
        self.running = []
        for socket, mode, more in (
            (ROOTS_SOCKET, 0o600, []),
            (USERS_SOCKET, 0o666, ["--for-users"]),
        ):
            socket.parent.mkdir(mode=0o700, exist_ok=True)
            command = [*AGENT, "--listen", str(socket), "--state", str(state), *more]
            self.running.append(subprocess.Popen(command))
            wait_for_socket(socket)
            socket.chmod(mode)

    def stop_agents(self) -> None:
        for agent in self.running:
            agent.terminate()
            agent.wait()
        for socket in (ROOTS_SOCKET, USERS_SOCKET):
            socket.unlink(missing_ok=True)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Nobody reaches the agents, so nobody reaches the store."""
        sockets = (ROOTS_SOCKET, USERS_SOCKET)
        for socket in sockets:
            socket.rename(f"{socket}.away")
        yield
        for socket in sockets:
            Path(f"{socket}.away").rename(socket)

    @contextlib.contextmanager
    def enrolling_without_invitation(self) -> Iterator[None]:
        """The host is marked (`store add --enroll`). Agents learn it at their start."""
        for marked in (True, False):
            self.admin.execute("UPDATE totp.host SET may_enroll = %s", [marked])
            self.restart_agents()
            if marked:
                yield

    @contextlib.contextmanager
    def clock_ahead(self, seconds: float) -> Iterator[None]:
        """The store's clock is so far ahead of the host's. Agents learn it at their start."""
        for ahead in (seconds, 0.0):
            self.shift_clock(ahead)
            self.restart_agents()
            if ahead:
                yield

    def restart_agents(self) -> None:
        self.stop_agents()
        self.start_agents()

    def state_of(self, user: User | str) -> str:
        """What the store says of a person; empty for nobody that it knows."""
        name = user if isinstance(user, str) else user.name
        found = self.value("SELECT state FROM totp_admin_1.people(%s)", [name])
        return str(found or "")

    def forget(self, user: User | str) -> None:
        """So that the next test finds a person whom nobody knows."""
        name = user if isinstance(user, str) else user.name
        self.admin.execute("DELETE FROM totp.person WHERE name = %s", [name])


@pytest.fixture(scope="module")
def small_fleet() -> Iterator[SmallFleet]:
    """The store of this test file, on this machine, which uses it for its own logins."""
    store = SmallFleet(name="pam_totp", port=5432)
    store.create(FAST)
    store.control("start")
    store.begin()
    store.join()
    store.start_agents()
    yield store
    store.stop_agents()
    store.admin.close()
    store.drop()
    for path in (CONF, PASSWORD):
        path.unlink()


@pytest.fixture
def fleet(small_fleet: SmallFleet, user: User) -> Iterator[SmallFleet]:
    """A login host with `store: postgresql`, whose agents run; the user is nobody to the store."""
    with configured("store: postgresql\n"):
        yield small_fleet
    small_fleet.forget(user)
    small_fleet.shift_clock(0.0)
