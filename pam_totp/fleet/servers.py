# SPDX-License-Identifier: MIT
"""The database servers of the store: this one, and the standby servers that may become the primary.

A standby server has a role of its own, a member of `totp_standby`, with the server's name. What
port and what keys it has, it says itself, by that role: the primary cannot look at its files.
"""

import dataclasses
import ipaddress
import re
import socket
from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import hosts, scram, server_files
from pam_totp.fleet.cluster import Cluster
from pam_totp.fleet.join_line import new_password
from pam_totp.fleet.listening import EVERYWHERE

GROUP = "totp_standby"
_USER = re.compile(r"^primary_conninfo = '.*\buser=(\S+)", re.MULTILINE)
_STANDBYS = """
    SELECT r.rolname, coalesce(s.port, 0), coalesce(s.keys, '{}')
    FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
      LEFT JOIN totp.standby s ON s.name = r.rolname
    WHERE g.rolname = 'totp_standby' ORDER BY 1
"""


@dataclasses.dataclass(frozen=True)
class Standby:
    """port: 0 until it has joined. keys: the check values of its key files."""

    name: str
    port: int
    keys: tuple[str, ...]


def own(cluster: Cluster) -> tuple[str, int]:
    """The name and the port by which others connect to this server: the name that a standby server
    got, the first address that it listens on, or else the machine's name."""
    as_standby = _USER.search(server_files.content_of(cluster, server_files.STANDBY) or "")
    if as_standby:
        return as_standby[1], cluster.port
    for address in server_files.listening(cluster).split(","):
        if address.strip() and address.strip() not in EVERYWHERE:
            return address.strip(), cluster.port
    return socket.gethostname(), cluster.port


def old_primary(cluster: Cluster) -> str:
    """Of a server that is, or was, a standby: where it copied the data from; else empty."""
    text = server_files.content_of(cluster, server_files.STANDBY) or ""
    found = re.search(r"^primary_conninfo = '.*\bhost=(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def is_only_local(address: str) -> bool:
    """Whether connections from other machines cannot reach the server at this address, as it is
    resolved here. Debian's installer puts the machine's own name at 127.0.1.1."""
    if address in EVERYWHERE:
        return False
    try:
        found = {each[4][0] for each in socket.getaddrinfo(address, None)}
    except OSError:
        return False  # PostgreSQL says so itself
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


def standbys(connection: psycopg.Connection[TupleRow]) -> list[Standby]:
    """By name. Raises psycopg.Error."""
    return [Standby(name, port, tuple(keys)) for name, port, keys in connection.execute(_STANDBYS)]


def others(connection: psycopg.Connection[TupleRow], here: Cluster) -> list[Standby]:
    """The same, without this server, which was one before it was promoted."""
    name, _ = own(here)
    return [each for each in standbys(connection) if each.name != name]


def tell_primary(connection: psycopg.Connection[TupleRow], port: int, keys: Sequence[str]) -> None:
    """What this standby server has to say; connection: to the primary, by its role."""
    connection.execute("SELECT totp_standby_1.tell(%s, %s)", [port, list(keys)])


def every(connection: psycopg.Connection[TupleRow], here: Cluster) -> tuple[tuple[str, int], ...]:
    """The names and ports of all servers that have joined, this one first."""
    name, port = own(here)
    joined = ((each.name, each.port) for each in others(connection, here) if each.port)
    return ((name, port), *joined)


def unknown_to(known: Sequence[str] | None, joined: Sequence[Standby]) -> list[Standby]:
    """Of the servers that have joined as a standby, those that a host does not know. known: as the
    host says it, NAME:PORT; None: it has not said so yet."""
    if known is None:
        return []
    return [each for each in joined if each.port and f"{each.name}:{each.port}" not in known]


def identity(connection: psycopg.Connection[TupleRow]) -> tuple[str, int]:
    """The store's id and the version of its schema. Raises Error."""
    row = connection.execute("SELECT id, schema_version FROM totp.store").fetchone()
    if row is None:
        raise Error("the store is damaged: its own row is missing", "pam-totp store status")
    return str(row[0]), int(row[1])


def add_standby(connection: psycopg.Connection[TupleRow], name: str) -> str:
    """Makes the role of a standby server, or gives it a new password, which is returned. A login
    host that was removed may become one. Raises Error where the name is taken."""
    password = new_password()
    with connection.transaction():
        if name not in [each.name for each in standbys(connection)]:
            _make_role(connection, name)
        scram.set_password(connection, name, password)
    return password


def _make_role(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """Raises Error."""
    known = "SELECT left_at FROM totp.host WHERE name = %s"
    as_host = connection.execute(known, [name]).fetchone()
    if as_host is not None and as_host[0] is None:
        anew = f"pam-totp store remove {name} && pam-totp store add --standby {name}"
        raise Error(f"{name} was added as a login host; nothing was changed", anew)
    role, group = sql.Identifier(name), sql.Identifier(GROUP)
    if hosts.exists(connection, name):
        if as_host is None:
            message = f"the database server has a role {name} that does not belong to the store"
            raise Error(message, "Use another name.")
        hosts.forget_rights(connection, name)
        connection.execute(sql.SQL("DROP ROLE {}").format(role))  # its tries stay, by the name
    make = sql.SQL("CREATE ROLE {} LOGIN REPLICATION CONNECTION LIMIT 5 IN ROLE {}")
    connection.execute(make.format(role, group))


def remove_standby(connection: psycopg.Connection[TupleRow], name: str) -> bool:
    """Removes the role and the replication slot of a standby server; whether there was one."""
    if name not in [each.name for each in standbys(connection)]:
        return False
    role = sql.Identifier(name)
    connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
    connection.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = %s", [name]
    )
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE slot_name = %s AND NOT active",
        [slot_of(name)],
    )
    connection.execute("DELETE FROM totp.standby WHERE name = %s", [name])
    hosts.forget_rights(connection, name)
    connection.execute(sql.SQL("DROP ROLE {}").format(role))
    return True


def slot_of(name: str) -> str:
    """The replication slot of a standby server: only a few characters may be in its name."""
    return "standby_" + "".join(each if each.isalnum() else "_" for each in name.lower())
