# SPDX-License-Identifier: MIT
"""A real PostgreSQL server of the throw-away host, with the store's schema.

Each test file gets a cluster of its own (fixture `database`), with TLS, SCRAM and the store. Tests
share it, each with people of its own: `database.person()`.
"""

import grp
import itertools
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pam_totp.fleet import hosts, schema_migrations
from pam_totp.rules.otp import hotp

Connection = psycopg.Connection[TupleRow]

PROGRAMS = Path("/usr/lib/postgresql")
SOCKETS = Path("/var/run/postgresql")
KEY_FILE = Path("/etc/pam-totp/fleet-key.1")
SETTINGS = """\
listen_addresses = '{address}'
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
password_encryption = scram-sha-256
max_connections = 100
shared_buffers = 32MB
wal_level = replica
"""
# No fsync: memory is what these hosts write to.
FAST = "fsync = off\nfull_page_writes = off\n"
HBA = """\
local all postgres peer map=root
local replication postgres peer map=root
hostssl pam_totp +totp_host all scram-sha-256
hostssl replication all all scram-sha-256
"""
IDENT = "root root postgres\nroot postgres postgres\n"
PORTS = itertools.count(6000)
NAMES = itertools.count(1)


@dataclass
class Person:
    """Somebody whose secret the test knows."""

    name: str
    secret: bytes
    digits: int = 6
    algorithm: str = "sha1"
    period: int = 30

    def code(self, at: float, steps: int = 0) -> str:
        """The code at a Unix time, or so many time steps later."""
        algorithm = self.algorithm.upper()
        return hotp(self.secret, int(at // self.period) + steps, self.digits, algorithm)

    def incorrect_code(self, at: float) -> str:
        """Digits that are the code of no time step within 25 of `at`."""
        near = {self.code(at, steps) for steps in range(-25, 26)}
        codes = (
            str(each).zfill(self.digits) for each in itertools.count(31_415_926 % 10**self.digits)
        )
        return next(code for code in codes if code not in near)


@dataclass
class Cluster:
    """A server of this host. conninfo: how a login host reaches it, but for user and password."""

    name: str
    port: int
    address: str = "127.0.0.1"
    version: str = field(default_factory=lambda: newest_version())

    @property
    def configuration(self) -> Path:
        return Path(f"/etc/postgresql/{self.version}/{self.name}")

    @property
    def data(self) -> Path:
        return Path(f"/var/lib/postgresql/{self.version}/{self.name}")

    @property
    def log(self) -> Path:
        return Path(f"/var/log/postgresql/postgresql-{self.version}-{self.name}.log")

    @property
    def conninfo(self) -> str:
        return make_conninfo(
            host=self.address,
            port=self.port,
            dbname="pam_totp",
            sslmode="require",
            channel_binding="require",
        )

    def create(self, settings: str = FAST) -> None:
        """Makes and configures it. It is not started."""
        prepare_host()
        run(
            *("pg_createcluster", self.version, self.name, "-p", str(self.port)),
            *("--locale", "C.UTF-8", "--", "--no-sync"),
        )
        self.configure(settings)

    def configure(self, settings: str = FAST) -> None:
        """Writes its settings, who may log in, and a certificate of its own."""
        folder = self.configuration
        make_certificate(folder)
        (folder / "pg_hba.conf").write_text(HBA, encoding="ascii")
        (folder / "pg_ident.conf").write_text(IDENT, encoding="ascii")
        basic = SETTINGS.format(address=self.address, folder=folder)
        (folder / "conf.d" / "pam-totp.conf").write_text(basic + settings, encoding="ascii")

    def control(self, action: str, *options: str) -> None:
        """`pg_ctlcluster`: start, stop, restart, reload, promote."""
        run("pg_ctlcluster", self.version, self.name, action, *options)

    def superuser(self, dbname: str = "pam_totp") -> Connection:
        return psycopg.connect(
            host=str(SOCKETS), port=self.port, user="postgres", dbname=dbname, autocommit=True
        )

    def drop(self) -> None:
        run("pg_dropcluster", "--stop", self.version, self.name)


class Database(Cluster):
    """A cluster with the store, and a connection of its superuser."""

    def drop(self) -> None:
        super().drop()
        for key in KEY_FILE.parent.glob("fleet-key.*"):  # also those of later versions
            key.unlink()

    def begin(self) -> None:
        """Makes the store. The cluster runs already."""
        make_key_file(KEY_FILE)
        with self.superuser("postgres") as server:
            server.execute("CREATE DATABASE pam_totp")
        self.admin = self.superuser()
        self.passwords: dict[str, str] = {}
        schema_migrations.apply(self.admin)

    def value(self, query: str, *arguments: object) -> Any:
        """The first column of the first row of a superuser's query; None without one."""
        row = self.admin.execute(query, arguments or None).fetchone()
        return row and row[0]

    def add_host(self, name: str, **options: Any) -> None:
        self.passwords[name] = hosts.add(self.admin, name, **options)

    def connect(
        self, host: str = "web07", *, autocommit: bool = True, prepare_threshold: int | None = 5
    ) -> Connection:
        """As a login host, which is added if it is not there yet."""
        if host not in self.passwords:
            self.add_host(host)
        conninfo = make_conninfo(self.conninfo, user=host, password=self.passwords[host])
        return psycopg.connect(conninfo, autocommit=autocommit, prepare_threshold=prepare_threshold)

    def person(self, name: str = "", *, secret: bytes = b"", **parameters: Any) -> Person:
        """Somebody who is enrolled, with a secret that is known here."""
        who = Person(
            name or f"person{next(NAMES)}", secret or secrets.token_bytes(20), **parameters
        )
        self.add_secret(who)
        return who

    def add_secret(self, who: Person, *, device: str = "phone", last_step: int = -1) -> None:
        self.admin.execute(
            "SELECT totp_admin_1.import_credential(%s, %s, %s, %s, %s, 0, %s, %s)",
            [who.name, who.secret, who.algorithm, who.digits, who.period, device, last_step],
        )

    def now(self) -> float:
        """Of the store's clock."""
        return float(self.value("SELECT totp.clock()"))

    def freeze_clock(self, at: float | None = None) -> float:
        """Stops the store's clock at a Unix time, which is returned; by default a second before the
        middle of the present time step."""
        at = time.time() // 30 * 30 + 14 if at is None else at
        self._replace_clock(f"SELECT {at!r}::double precision")
        return at

    def shift_clock(self, seconds: float) -> None:
        """Lets the store's clock go, so far ahead of the real one."""
        self._replace_clock(
            f"SELECT extract(epoch FROM clock_timestamp())::double precision + {seconds!r}"
        )

    def _replace_clock(self, body: str) -> None:
        clock = "CREATE OR REPLACE FUNCTION totp.clock() RETURNS double precision"
        self.admin.execute(f"{clock} LANGUAGE sql VOLATILE AS $$ {body} $$".encode())

    def set(self, **settings: object) -> None:
        """Columns of totp.setting."""
        for name, value in settings.items():
            self.admin.execute(
                sql.SQL("UPDATE totp.setting SET {} = %s").format(sql.Identifier(name)), [value]
            )


def check(
    host: Connection, person: str, answer: str, service: str = "sshd", rhost: str = "192.0.2.1"
) -> TupleRow:
    """accepted, reason, device, wait_seconds, recovery_left, detail: of both transactions."""
    arguments = [person, answer, service, rhost]
    row = host.execute("CALL totp_api_1.check(%s, %s, %s, %s)", arguments).fetchone()
    assert row is not None
    return row


def wait_until(is_so: Callable[[], object]) -> None:
    for _ in range(1000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it does not come")


def newest_version() -> str:
    return max((path.name for path in PROGRAMS.iterdir()), key=float)


def run(*command: str) -> None:
    """As root, in a folder that postgres may enter."""
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def prepare_host() -> None:
    """The folder of the sockets, which a boot makes."""
    SOCKETS.mkdir(parents=True, exist_ok=True)
    os.chmod(SOCKETS, 0o2775)
    shutil.chown(SOCKETS, "postgres", "postgres")


def make_key_file(path: Path) -> None:
    """As `pam-totp store init` makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o640)
    os.chown(path, 0, grp.getgrnam("postgres").gr_gid)
    path.chmod(0o640)
    path.write_bytes(secrets.token_bytes(32))


def make_certificate(folder: Path) -> None:
    """Self-signed, ECDSA: OpenSSL finds no digest for the channel binding of an Ed25519 one."""
    key, certificate = folder / "server.key", folder / "server.crt"
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "3650", "-subj", "/CN=pam-totp", "-keyout", str(key)),
        *("-out", str(certificate)),
    )
    owner = pwd.getpwnam("postgres")
    for path in (key, certificate):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    key.chmod(0o600)


def new_database(settings: str = FAST) -> Database:
    """One that runs, with the store."""
    number = next(PORTS)
    database = Database(name=f"test{number}", port=number)
    database.create(settings)
    database.control("start")
    database.begin()
    return database


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """The store of this test file, on a server of its own."""
    database = new_database()
    yield database
    database.admin.close()
    database.drop()


@pytest.fixture
def now(database: Database) -> Iterator[float]:
    """The store's clock stands still at this Unix time during the test. Tests move it to and fro,
    so each begins with hosts that have all their tries."""
    database.admin.execute("UPDATE totp.host SET budget_used = 0, recovery_used = 0, rows_used = 0")
    yield database.freeze_clock()
    database.shift_clock(0.0)
