# SPDX-License-Identifier: MIT
"""The PostgreSQL servers of a store, on machines of their own, and what can happen to them."""

import time
from pathlib import Path

from tests.fleet.machines import SECONDS, Machine, MachineError

CLUSTER = "pam_totp"
VERSION = max((path.name for path in Path("/usr/lib/postgresql").glob("[0-9]*")), key=int)
PROGRAMS = f"/usr/lib/postgresql/{VERSION}/bin"
SETTINGS = f"/etc/postgresql/{VERSION}/{CLUSTER}"
DATA = f"/var/lib/postgresql/{VERSION}/{CLUSTER}"
LOG = f"/var/log/postgresql/postgresql-{VERSION}-{CLUSTER}.log"
# The command as of another user, in a folder that the user may enter.
AS_POSTGRES = (
    *("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"),
    *("sh", "-c", 'cd / && exec "$@"', "-"),
)
CLOCK = (
    "CREATE OR REPLACE FUNCTION totp.clock() RETURNS double precision LANGUAGE sql VOLATILE"
    " AS $$ SELECT {!r}::double precision $$"
)


class Server:
    """The cluster of one machine, as its administrator sees it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def program(self, name: str, *arguments: str) -> str:
        """Runs a program of PostgreSQL as its user, which must succeed; what it printed."""
        return self.machine.must_run(*AS_POSTGRES, f"{PROGRAMS}/{name}", *arguments)

    def sql(self, *statements: str, database: str = CLUSTER) -> str:
        """What the superuser gets, row by row, with `|` between the columns."""
        commands = [f"--command={statement}" for statement in statements]
        options = [
            f"--cluster={VERSION}/{CLUSTER}",
            "-XAtq",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={database}",
        ]
        return self.machine.must_run(*AS_POSTGRES, "psql", *options, *commands).strip()

    def _control(self, *arguments: str) -> None:
        """pg_ctl: pg_ctlcluster waits two seconds whatever the server does."""
        self.program("pg_ctl", f"--pgdata={DATA}", "--silent", *arguments)

    def start(self) -> None:
        options = f"-c config_file={SETTINGS}/postgresql.conf"
        self._control(f"--options={options}", f"--log={LOG}", "--wait", "start")

    def stop(self) -> None:
        self._control("--mode=fast", "--wait", "stop")

    def reload(self) -> None:
        self._control("reload")

    def promote(self) -> None:
        """Returns once it takes what is written."""
        self._control("--wait", "promote")

    def wait_until_promoted(self) -> None:
        """Until it takes what is written, after a recovery."""
        self._wait_until("SELECT NOT pg_is_in_recovery()", "is in recovery")

    def make_empty(self) -> None:
        """A new and empty cluster, with the settings of the one that it replaces."""
        self.kill()
        self.machine.must_run("sh", "-c", f"rm -rf {DATA}/*")
        self.program("initdb", f"--pgdata={DATA}", "--encoding=UTF8", "--locale=C.UTF-8")
        self.start()

    def kill(self) -> None:
        """SIGKILL for all of its processes at once, and for all others of the machine."""
        self.machine.end_all()

    def is_standby(self) -> bool:
        return self.sql("SELECT pg_is_in_recovery()") == "t"

    def set(self, name: str, value: str) -> None:
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()")

    def stop_clock(self, at: float) -> None:
        """The store's clock stands at this Unix time, on this server and its standbys."""
        self.sql(CLOCK.format(at))

    def copy_data(self, name: str) -> None:
        """Keeps a copy of the data of a server that is stopped; `put_back` brings it back."""
        self.machine.must_run("rm", "-rf", f"{DATA}.{name}")
        self.machine.must_run("cp", "-a", DATA, f"{DATA}.{name}")

    def put_back(self, name: str) -> None:
        """Stops the server as `kill` does, and puts the copy in the place of its data."""
        self.kill()
        self.machine.must_run("sh", "-c", f"rm -rf {DATA}/* && cp -a {DATA}.{name}/. {DATA}")

    def wait_for_standby(self) -> None:
        """Until a standby has all that is written here."""
        statement = (
            "SELECT count(*) > 0 AND bool_and(replay_lsn >= pg_current_wal_lsn())"
            " FROM pg_stat_replication WHERE state = 'streaming'"
        )
        self._wait_until(statement, "has no standby")

    def _wait_until(self, statement: str, fault: str) -> None:
        deadline = time.monotonic() + SECONDS
        while self.sql(statement, database="postgres") != "t":
            if time.monotonic() > deadline:
                raise MachineError(f"{self.machine.name} {fault}")
            time.sleep(0.02)

    def log(self) -> str:
        return self.machine.path(LOG).read_text(encoding="utf-8", errors="replace")
