# SPDX-License-Identifier: MIT
"""The connection of root's commands to the store, on a database host.

Root is the database's superuser there: over the local socket, as `postgres` (pg_ident.conf maps
root to it). Everyday work gives that up with SET ROLE totp_admin.
"""

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import cluster

CLUSTER = DATABASE = "pam_totp"
SOCKETS = "/var/run/postgresql"


def connect(port: int | None = None, dbname: str = DATABASE) -> psycopg.Connection[TupleRow]:
    """An autocommit connection to the store of this machine. port: None is that of the cluster.
    Raises Error."""
    conninfo = make_conninfo(
        host=SOCKETS,
        port=cluster.existing().port if port is None else port,
        dbname=dbname,
        user="postgres",
        connect_timeout=2,
    )
    try:
        return psycopg.connect(conninfo, autocommit=True)
    except psycopg.Error as failure:
        what = str(failure).strip().splitlines()[-1]
        raise Error(f"the store does not answer on this machine: {what}", "pg_lsclusters") from None
