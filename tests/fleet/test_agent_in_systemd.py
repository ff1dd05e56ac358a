# SPDX-License-Identifier: MIT
"""The agent's units under a real systemd: started by its socket, as a user of its own, with what
root alone may read; killed, stopped, and without its files."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.database import Person
from tests.fleet.login_host import LoginHost
from tests.host.accounts import User
from tests.host.programs import ACCEPTED, LOGIN, REFUSED, VERIFY
from tests.trial.systemd_host import Machine, SystemdHost

pytestmark = pytest.mark.timeout(300)
UNITS = ("pam-totp-agent", "pam-totp-enroll")
# The kernel gives no namespace of users to who is in a chroot, as a bare system for tests may be.
IN_CHROOT = Path("/etc/systemd/system/pam-totp-agent.service.d/in-chroot.conf")
ENV = [f"{name}={value}" for name, value in LOGIN.items()]


@pytest.fixture
def booted(login_host: LoginHost, machine: Machine) -> Iterator[SystemdHost]:
    """With both sockets, and with the server of the test outside: the network is the same."""
    login_host.stop()
    forget_what_was_seen()
    if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode != 0:
        IN_CHROOT.parent.mkdir()
        IN_CHROOT.write_text("[Service]\nPrivateUsers=no\n", encoding="ascii")
    booted = machine.boot()
    # As systemd does itself outside of a container; else no unit sees its credentials.
    booted.run("mount", "--make-rshared", "/")
    booted.run("install", "-d", "-m", "700", "/run/pam-totp")
    sockets = [f"{unit}.socket" for unit in UNITS]
    started = booted.run("systemctl", "start", *sockets)
    assert started.returncode == 0, started.stderr
    yield booted
    booted.run("systemctl", "stop", *sockets, *(f"{unit}.service" for unit in UNITS))
    shutil.rmtree(IN_CHROOT.parent, ignore_errors=True)
    forget_what_was_seen()


def forget_what_was_seen() -> None:
    """Under systemd it is another user's, at each boot."""
    for unit in UNITS:
        for path in (Path("/var/lib", unit), Path("/var/lib/private", unit)):
            if path.is_symlink():
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)


def verify(booted: SystemdHost, user: User, code: str) -> int:
    command = booted.command("env", *ENV, f"PAM_USER={user.name}", VERIFY)
    return subprocess.run(command, input=code, text=True, timeout=20).returncode


def show(booted: SystemdHost, unit: str, name: str) -> str:
    return booted.run("systemctl", "show", "-P", name, unit).stdout.strip()


def journal(booted: SystemdHost) -> str:
    return booted.run("journalctl", "-o", "cat", "--no-pager").stdout


def test_the_first_login_starts_the_agent_as_a_user_of_its_own(
    login_host: LoginHost, booted: SystemdHost, user: User, now: float
) -> None:
    person: Person = login_host.enroll(user)
    assert show(booted, "pam-totp-agent.service", "ActiveState") == "inactive"
    assert verify(booted, user, person.code(now)) == ACCEPTED, journal(booted)
    assert verify(booted, user, person.code(now)) == REFUSED
    process = show(booted, "pam-totp-agent.service", "MainPID")
    assert show(booted, "pam-totp-agent.service", "User") == "pam-totp-agent"
    owner = booted.run("stat", "-c", "%u", f"/proc/{process}").stdout
    assert int(owner) >= 61184  # systemd's range of such users, which not every system can name
    seen = booted.run("cat", "/var/lib/private/pam-totp-agent/seen").stdout
    assert seen.startswith(f"pam-totp seen 1 {login_host.store} ")

    # Killed: that login at most is refused, and the socket starts it again.
    booted.run("systemctl", "kill", "--signal=KILL", "pam-totp-agent.service")
    verify(booted, user, person.incorrect_code(now))
    assert verify(booted, user, person.code(now, 1)) == ACCEPTED, journal(booted)
    assert show(booted, "pam-totp-agent.service", "MainPID") != process

    # Users ask another one, about themselves.
    asks = (
        "import socket; peer = socket.socket(socket.AF_UNIX)\n"
        "peer.connect('/run/pam-totp-enroll.sock')\n"
        f"peer.sendall(b'standing\\0{user.name}\\n'); print(peer.recv(4096))\n"
    )
    command = booted.command(*user.command(["/usr/bin/python3", "-c", asks]))
    run = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert run.stdout == "b'ok\\x00enrolled\\x000\\x00f\\n'\n", run.stderr + journal(booted)


def test_without_its_files_the_agent_says_so_and_reads_them_once_they_are_there(
    login_host: LoginHost, booted: SystemdHost, user: User, now: float
) -> None:
    person = login_host.enroll(user)
    os.rename("/etc/pam-totp/store.password", "/etc/pam-totp/away")
    for _ in range(8):  # more than systemd starts a unit that fails
        assert verify(booted, user, person.code(now)) == REFUSED
    assert "store.password is missing or empty; run: pam-totp store join" in journal(booted)
    os.rename("/etc/pam-totp/away", "/etc/pam-totp/store.password")
    booted.run("systemctl", "stop", "pam-totp-agent.service")
    assert verify(booted, user, person.code(now)) == ACCEPTED, journal(booted)
    os.rename("/etc/pam-totp/store.conf", "/etc/pam-totp/away")
    booted.run("systemctl", "stop", "pam-totp-agent.service")
    assert verify(booted, user, person.code(now, 1)) == REFUSED
    assert "/etc/pam-totp/store.conf: must have one line store=ID" in journal(booted)
    os.rename("/etc/pam-totp/away", "/etc/pam-totp/store.conf")


def test_units_are_valid_and_confined(tmp_path: Path) -> None:
    folder = Path("/usr/lib/systemd/system")
    units = [str(folder / f"{unit}.{kind}") for unit in UNITS for kind in ("socket", "service")]
    found = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    ours = [line for line in found.stderr.splitlines() if "pam-totp" in line]
    assert ours == []
    for unit in UNITS:
        security = ["systemd-analyze", "security", "--offline=true", "--threshold=15"]
        judged = subprocess.run(
            [*security, str(folder / f"{unit}.service")], capture_output=True, text=True
        )
        assert judged.returncode == 0, judged.stdout
        wants = [path for path in folder.glob("*.wants/*") if path.name.startswith(unit)]
        assert wants == [], "turned on by the installation"
