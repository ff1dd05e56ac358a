# SPDX-License-Identifier: MIT
"""A store on this throw-away host, made by `pam-totp store init`, and commands that are killed."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.commands import pam_totp, run
from tests.host.programs import CONFIGURATION, RECORDS, STATE

CLUSTER = "pam_totp"
SOCKETS = "/var/run/postgresql"
ETC = Path("/etc/pam-totp")
UNFINISHED = STATE / "store" / "unfinished"
CONF, PASSWORD = ETC / "store.conf", ETC / "store.password"
VERSION = max((path.name for path in Path("/usr/lib/postgresql").glob("[0-9]*")), key=int)
SETTINGS = Path(f"/etc/postgresql/{VERSION}/{CLUSTER}")
DATA = Path(f"/var/lib/postgresql/{VERSION}/{CLUSTER}")
LOG = Path(f"/var/log/postgresql/postgresql-{VERSION}-{CLUSTER}.log")
STEP = Path("/tmp/step")
KILLED = str(Path(__file__).with_name("killed.py"))


class Store:
    """The store of this host."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self, **keywords: Any) -> "psycopg.Connection[Any]":
        """As root, who is the superuser."""
        given: dict[str, Any] = {"host": SOCKETS, "port": self.port, "dbname": CLUSTER}
        made: psycopg.Connection[Any] = psycopg.connect(
            **(given | {"user": "postgres"} | keywords), autocommit=True
        )
        return made

    def as_host(self, name: str, password: str, **keywords: Any) -> "psycopg.Connection[Any]":
        """As a login host."""
        given = {"host": "127.0.0.1", "sslmode": "require", "channel_binding": "require"}
        return self.connect(user=name, password=password, **(given | keywords))

    def row(self, query: str, *values: object) -> tuple[Any, ...]:
        """One row of what the superuser asks."""
        with self.connect() as connection:
            found = connection.execute(query, values).fetchone()
        assert found is not None
        return tuple(found)

    def add(self, name: str, *options: str) -> str:
        """The line by which a host joins."""
        done = pam_totp("store", "add", name, *options)
        assert done.code == 0, done.errors
        return done.output.partition("\n")[0]

    def accepts(self, name: str, password: str) -> bool:
        """Whether this is the password of the role."""
        try:
            self.as_host(name, password).close()
        except psycopg.OperationalError as failure:
            assert "password authentication failed" in str(failure), failure
            return False
        return True


def make_store(*options: str) -> Store:
    """Runs `pam-totp store init`, on a host without one."""
    CONFIGURATION.parent.mkdir(exist_ok=True)
    CONFIGURATION.write_text("store: system\n", encoding="ascii")
    done = pam_totp("store", "init", "--listen", "127.0.0.1", *options)
    assert done.code == 0, done.errors
    return Store(port_of_cluster())


def port_of_cluster() -> int:
    """As pg_lsclusters has it."""
    lines = run(["pg_lsclusters", "--no-header"]).output.splitlines()
    return next(int(line.split()[2]) for line in lines if line.split()[1] == CLUSTER)


def remove_store() -> None:
    """Leaves nothing of a store on this host, however it was left."""
    subprocess.run(["pg_dropcluster", "--stop", VERSION, CLUSTER], capture_output=True)
    for folder in (SETTINGS, DATA, STATE / "store"):
        shutil.rmtree(folder, ignore_errors=True)
    forget_join()
    # The last good settings too: without a file they would still apply.
    kept = [folder / "settings" / "last-good" for folder in (STATE, RECORDS)]
    for path in (*ETC.glob("fleet-key.*"), CONFIGURATION, *kept):
        path.unlink(missing_ok=True)


def forget_join() -> None:
    """This host has not joined a store, as if it were another one."""
    interrupted = ETC.glob("store.*.new-*")
    for path in (CONF, PASSWORD, Path(f"{PASSWORD}.new"), *interrupted):
        path.unlink(missing_ok=True)
    shutil.rmtree(STATE / "outage", ignore_errors=True)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """One for all tests of a file."""
    try:
        yield make_store()
    finally:
        remove_store()


@pytest.fixture
def no_store() -> Iterator[None]:
    """A host without one, before and after the test."""
    remove_store()
    yield
    remove_store()


def killed_at(number: int, *arguments: str, typed: str = "") -> str:
    """`pam-totp ARGUMENTS`, killed at its step with this number (tests/fleet/killed.py): which one
    that is; empty if it has fewer, and ended well."""
    STEP.unlink(missing_ok=True)
    done = run(["/usr/bin/python3", "-BIS", KILLED, str(number), str(STEP), *arguments], typed)
    if done.code == -signal.SIGKILL:
        return STEP.read_text(encoding="utf-8")
    assert done.code == 0, (number, done.errors)
    return ""


@contextlib.contextmanager
def file_as_it_was(path: Path) -> Iterator[None]:
    """Puts a file back after the block, with its owner and mode."""
    kept = Path(f"/tmp/{path.name}.kept")
    shutil.copy2(path, kept)
    status = path.stat()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        shutil.copy2(kept, path)
        os.chown(path, status.st_uid, status.st_gid)
