# SPDX-License-Identifier: MIT
"""Whoever may read a folder may lock it: no stranger's lock keeps anybody from enrolling."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.attacks.programs import command, verify
from tests.attacks.programs import enroll as enroll_by_root
from tests.commands.commands import configured
from tests.commands.commands import gate as gate_of
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.phone import AT_LOGIN, keys_on
from tests.host.programs import ACCEPTED, REFUSED

HOLD = "import fcntl, os; fcntl.flock(os.open(PATH, 0), 2); print(flush=True); input()"


@contextlib.contextmanager
def locked(user: User, by: User) -> Iterator[None]:
    """The folder of the user's secret files, locked by somebody else."""
    path = user.home / ".config" / "pam-totp"
    program = HOLD.replace("PATH", repr(str(path)))
    arguments = by.command(["/usr/bin/python3", "-c", program])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd="/", **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"\n"
        yield
        holder.stdin.close()


@pytest.fixture
def open_folder(user: User) -> None:
    """As it is after a `mkdir` by hand, in a home that others may pass through."""
    user.home.chmod(0o755)
    done = user.run_as("mkdir", "-p", "-m", "755", ".config", ".config/pam-totp")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("open_folder")
def test_stranger_who_locks_the_folder_keeps_nobody_from_enrolling_at_a_login(
    user: User, make_user: Callable[..., User]
) -> None:
    with locked(user, by=make_user()), configured(AT_LOGIN, settled=True):
        (secret,) = keys_on(gate_of(user, typed=user.password).output)
        code = Credential(user, secret).fresh_code()
        assert verify(user.name, code) == ACCEPTED
        assert (user.home / ".config/pam-totp/recovery").exists()


@pytest.mark.usefixtures("open_folder")
def test_stranger_who_locks_the_folder_keeps_nobody_from_enrolling_by_a_command(
    user: User, make_user: Callable[..., User]
) -> None:
    with locked(user, by=make_user()):
        assert enroll_by_root(user.name) == 0
    assert command("reset", "--yes", user.name).returncode == 0
    assert verify(user.name, "123456") == REFUSED
