# SPDX-License-Identifier: MIT
"""A trial that is run over ssh, on the very sshd that it is about, and whose connection is lost."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from tests.host.ssh_client import client_options
from tests.trial.change_host import ChangeHost, is_over, state, wait_until, watchers

READY = "Attempts, from /var/log/auth.log:"
KEPT_KEYS = Path("/root/.ssh")


@pytest.fixture
def roots_key() -> Iterator[Path]:
    """A key that may log in as root, which Debian's PermitRootLogin allows."""
    key = Path("/var/tmp/key-of-root")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    KEPT_KEYS.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(f"{key}.pub", KEPT_KEYS / "authorized_keys")
    yield key
    (KEPT_KEYS / "authorized_keys").unlink()
    for path in (key, Path(f"{key}.pub")):
        path.unlink()


@pytest.fixture(params=["-tt", "-T"])
def session(
    change_host: ChangeHost, roots_key: Path, request: pytest.FixtureRequest
) -> Iterator["pexpect.spawn[str]"]:
    """ssh, with a terminal at the other end or without one, in which the trial runs."""
    options = client_options(change_host, roots_key)  # type: ignore[arg-type]
    command = " ".join(change_host.command("600"))
    argv = [*options, request.param, "-l", "root", "127.0.0.1", command]
    child = pexpect.spawn("/usr/bin/ssh", argv, encoding="utf-8", timeout=30)
    child.expect_exact(READY)
    assert state() == change_host.new
    yield child
    child.close(force=True)


def children_of(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]


def assert_goes_back(host: ChangeHost) -> None:
    wait_until(is_over)
    assert state() == host.old
    assert not host.asks_for_a_key_and_more
    wait_until(lambda: not watchers())


def test_client_that_is_killed_takes_it_back(
    change_host: ChangeHost, session: "pexpect.spawn[str]"
) -> None:
    session.kill(signal.SIGKILL)
    assert_goes_back(change_host)


def test_sshd_of_the_session_that_is_killed_takes_it_back(
    change_host: ChangeHost, session: "pexpect.spawn[str]"
) -> None:
    listener = int(Path("/run/sshd.pid").read_text())
    for process in children_of(listener):
        for each in [*children_of(process), process]:
            with suppress(ProcessLookupError):  # it ends by itself, too, once its partner has ended
                os.kill(each, signal.SIGKILL)
    assert_goes_back(change_host)
