# SPDX-License-Identifier: MIT
"""The copy of the primary's data, from which a standby server starts.

- An existing cluster's data MUST be kept: it may hold tries that the primary never got.
- What is half copied MUST be known as such until all is there.
"""

import os
import shutil
from collections.abc import Sequence

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import cluster, own_password, server_files, servers
from pam_totp.fleet.cluster import Cluster
from pam_totp.fleet.join_line import JoinLine
from pam_totp.fleet.programs import run
from pam_totp.fleet.waiting import in_time

PASSWORD = "/etc/pam-totp/standby.password"
PASSFILE = "standby.pgpass"
REPLACED = ".replaced"  # the data of a cluster that gave way to a copy
_SECONDS_TO_COPY = 3600.0  # 500 MB over a slow line
_AS_POSTGRES = ("/usr/sbin/runuser", "-u", "postgres", "--")
Connection = psycopg.Connection[TupleRow]


def copy(
    line: JoinLine,
    conninfo: str,
    primary: Connection,
    made: Cluster,
    keeps: Sequence[int],
) -> None:
    """Gives a cluster a copy of the primary's data. conninfo: of the primary, for the role of this
    server. Raises Error."""
    shutil.rmtree(made.data, ignore_errors=True)
    write_passfile(made, line.name)
    passfile = f"{made.settings}/{PASSFILE}"
    source = make_conninfo(conninfo, passfile=passfile, application_name=line.name)
    slot = servers.slot_of(line.name)
    known = "SELECT FROM pg_replication_slots WHERE slot_name = %s"

    def ask() -> bool:
        return primary.execute(known, [slot]).fetchone() is not None

    hint = "run the command again"
    has_slot = in_time(ask, conninfo, hint)
    program = f"/usr/lib/postgresql/{made.version}/bin/pg_basebackup"
    options = ["--no-password", "--checkpoint=fast", "--wal-method=stream", f"--slot={slot}"]
    options += [] if has_slot else ["--create-slot"]
    command = [*_AS_POSTGRES, program, f"--dbname={source}", f"--pgdata={made.data}", *options]
    run(command, hint, seconds=_SECONDS_TO_COPY, keeps=keeps)
    text = f"{server_files.FIRST_LINE}primary_conninfo = '{source}'\nprimary_slot_name = '{slot}'\n"
    server_files.write(made, (server_files.STANDBY, text.encode(), server_files.MODE))
    run([*_AS_POSTGRES, "/usr/bin/touch", f"{made.data}/standby.signal"], hint)


def write_passfile(found: Cluster, name: str) -> None:
    """What the server itself connects with: outside of the data, so no backup holds it."""
    line = f"*:*:*:{name}:{own_password.read(PASSWORD)}\n"
    if server_files.content_of(found, PASSFILE) != line:
        server_files.write(found, (PASSFILE, line.encode(), 0o600))


def keep_data(before: Cluster, did: list[str]) -> None:
    """Moves the data of an old cluster aside. Raises Error."""
    if before.is_running:
        cluster.control(before, "stop")
    kept = f"{before.data}{REPLACED}"
    try:
        if os.path.exists(before.data):  # else a command was killed here before
            shutil.rmtree(kept, ignore_errors=True)
            os.rename(before.data, kept)
            did.append(f"moved the data of the old cluster to {kept}")
    except OSError as failure:
        raise Error(f"{before.data}: {failure.strerror}", f"ls -ld {before.data}") from None
