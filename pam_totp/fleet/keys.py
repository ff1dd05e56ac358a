# SPDX-License-Identifier: MIT
"""The keys of the store, as its database knows them: which one is in use, and whether this server
has it."""

import psycopg
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import cluster, key_file, servers

Connection = psycopg.Connection[TupleRow]


def in_use(connection: Connection) -> int:
    """The version that new secrets are sealed with. Raises psycopg.Error."""
    row = connection.execute("SELECT key_version FROM totp_admin_1.store()").fetchone()
    return int(row[0]) if row else 0


def needed(connection: Connection) -> list[int]:
    """The versions that secrets are sealed with now, and the one in use. Raises psycopg.Error."""
    current = in_use(connection)
    found = connection.execute("SELECT version, secrets FROM totp_admin_1.key_versions()")
    return [int(version) for version, secrets in found if secrets or version == current]


def wrong(connection: Connection) -> list[tuple[int, str, str]]:
    """Of the versions that are needed, each that this server cannot use: what is wrong, and the
    command that repairs it. Raises psycopg.Error."""
    found = []
    for version in needed(connection):
        fault, _ = key_file.fault_of(version)
        if not fault and _is_right(connection, version):
            continue
        source = _server_with(connection, version)
        what, repair = key_file.fault_of(version, source)
        if not what:
            what = f"{key_file.path_of(version)} is not the key of this store"
            repair = key_file.bring_back(version, source)
        found.append((version, what, repair))
    return found


def _server_with(connection: Connection, version: int) -> str:
    """Another server that has the key file of this version: the primary, for a standby, or a
    standby that says so; empty without any. Raises psycopg.Error or Error."""
    here = cluster.existing()
    if here.is_standby:
        return servers.old_primary(here)
    has = [each.name for each in servers.others(connection, here) if _has(each, version)]
    return has[0] if has else ""


def _has(standby: servers.Standby, version: int) -> bool:
    return any(each.startswith(f"{version}-") for each in standby.keys)


def refuse_wrong(connection: Connection) -> None:
    """Raises Error with the first of them."""
    for _, fault, repair in wrong(connection):
        raise Error(fault, repair)


def _is_right(connection: Connection, version: int) -> bool:
    """As the server itself reads the file. Raises psycopg.Error."""
    row = connection.execute("SELECT totp_admin_1.key_is_right(%s)", [version]).fetchone()
    return row is not None and row[0] is True
