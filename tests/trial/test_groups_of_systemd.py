# SPDX-License-Identifier: MIT
"""Rule 31: with a systemd, verify leaves the group of a user, and stays in that of a service."""

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.attacks.test_callers_place import group_of, processes_for
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.programs import RECORDS, VERIFY
from tests.trial.change_host import wait_until
from tests.trial.systemd_host import OURS, Machine, SystemdHost

pytestmark = pytest.mark.timeout(300)
HOLD = "import fcntl; f = open(PATH, 'rb+'); fcntl.lockf(f, 2); print(flush=True); input()"
# As logind and a systemd of the user's own start what a user does.
SCOPE = ["systemd-run", "--quiet", "--scope", "--slice=user-1000.slice", "--unit=session-7"]
SERVICE = ["systemd-run", "--quiet", "--wait", "--pipe", "--unit=tested"]


@pytest.fixture
def booted(machine: Machine, pam_services: PamServices) -> SystemdHost:
    pam_services.add("su", shipped_lines("password-then-code"))
    return machine.boot()


def verify_for(user: User) -> list[str]:
    return ["env", f"PAM_USER={user.name}", "PAM_SERVICE=su", VERIFY]


@contextlib.contextmanager
def locked(booted: SystemdHost, user: User) -> Iterator[None]:
    """The account's record, in the host that has booted: verify waits for it."""
    booted.run("sh", "-c", f"printf 000000 | {' '.join(verify_for(user))}")
    program = HOLD.replace("PATH", repr(str(RECORDS / str(user.uid))))
    command = booted.command("/usr/bin/python3", "-c", program)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"\n"
        yield
        holder.communicate(b"\n")


def group_of_verify(user: User) -> str:
    """As this systemd calls it, once there is the interpreter."""

    def begun() -> list[str]:
        ours = processes_for(user)
        return [one.name for one in ours if (one / "cmdline").read_bytes().endswith(b"\0verify\0")]

    wait_until(begun)
    return group_of(begun()[0]).removeprefix(f"/{OURS.name}")


def complaints(booted: SystemdHost) -> tuple[str, str]:
    state = booted.run("systemctl", "is-system-running").stdout
    return state, booted.run("journalctl", "-b", "-p", "warning", "_PID=1").stdout


@contextlib.contextmanager
def given(typed: str, command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(typed)
        process.stdin.close()
        yield process


def test_verify_of_a_session_is_where_systemd_is_and_systemd_says_nothing_to_it(
    booted: SystemdHost, user: User, credential: Credential
) -> None:
    before = complaints(booted)
    su = booted.command(*SCOPE, *user.command(["su", user.name, "-c", "id -un"]))
    typed = f"{user.password}\n{credential.fresh_code()}\n"
    with contextlib.ExitStack() as lock:
        lock.enter_context(locked(booted, user))
        with given(typed, su) as process:
            assert group_of_verify(user) == "/init.scope"
            lock.close()
            assert process.stdout is not None
            assert process.stdout.read() == f"{user.name}\n"
    assert complaints(booted) == before


def test_verify_of_a_service_stays_in_it(
    booted: SystemdHost, user: User, credential: Credential
) -> None:
    before = complaints(booted)
    service = booted.command(*SERVICE, *verify_for(user))
    with contextlib.ExitStack() as lock:
        lock.enter_context(locked(booted, user))
        with given(credential.fresh_code(), service) as process:
            assert group_of_verify(user) == "/system.slice/tested.service"
            lock.close()
            assert process.wait() == 0
    assert complaints(booted) == before
