# SPDX-License-Identifier: MIT
"""Making the store on the first database server, or mending what is missing of it.

Each step looks first at whether its work is done, so a command that was killed is completed by the
next one. What an administrator changed since stays, but for the addresses, if new ones are named.
"""

import dataclasses
from collections.abc import Mapping

from psycopg import sql

from pam_totp.errors import Error
from pam_totp.fleet import (
    certificate,
    cluster,
    database,
    key_file,
    keys,
    limits,
    schema_migrations,
    server_files,
    servers,
    unfinished,
)
from pam_totp.fleet.cluster import Cluster

# Without --listen. Only members of totp_host, with TLS and a password, get past pg_hba.conf.
DEFAULT_ADDRESSES = "*"
_FILES = (
    (server_files.ACCESS, server_files.ACCESS_TEXT),
    (server_files.NAMES, server_files.NAMES_TEXT),
)


@dataclasses.dataclass(frozen=True)
class Initialised:
    """did: what was changed, in sentences. keys: versions of the key files."""

    cluster: Cluster
    store: str
    schema_version: int
    keys: tuple[int, ...]
    did: tuple[str, ...]


def initialise(listen: str, port: int | None, values: Mapping[str, str]) -> Initialised:
    """listen: addresses with commas between them, empty for those of before, or all. port: None is
    the next one that is free. values: the settings of this host, by their keys, of which those of
    `limits.COLUMNS` are taken once. Raises Error."""
    did: list[str] = []
    with unfinished.locked() as lock:
        of_machine = _cluster(port, lock, did)
        if of_machine.is_standby:
            message = "this server is a standby, and only the primary can change the store"
            raise Error(f"{message}; nothing was changed", "pam-totp store status")
        needs_restart = write_files(of_machine, listen, did)
        run(of_machine, did, needs_restart=needs_restart)
        _make_database(of_machine, did)
        with database.connect(of_machine.port) as connection:
            is_new = not schema_migrations.version_of(connection)
            if not is_new and not key_file.versions():
                keys.refuse_wrong(connection)
            versions = _make_key(did, is_new=is_new)
            applied = schema_migrations.apply(connection, max(versions))
            did += [f"applied the migration {each}" for each in applied]
            keys.refuse_wrong(connection)
            if unfinished.phase():
                limits.copy_into_store(connection, values)
                did.append("took the settings code and throttle of config.yaml")
            store, schema_version = servers.identity(connection)
        unfinished.end()
    return Initialised(of_machine, store, schema_version, versions, tuple(did))


def write_files(of_machine: Cluster, listen: str, did: list[str]) -> bool:
    """Writes the settings of the server that are missing; whether it must start anew to read them.
    listen: as initialise has it. Raises Error."""
    needs_restart = False
    if not server_files.is_ours(of_machine, server_files.SETTINGS):
        text = server_files.settings_text(of_machine, listen or DEFAULT_ADDRESSES)
        _write(of_machine, server_files.SETTINGS, text, did)
        needs_restart = True
    elif listen and server_files.listening(of_machine) != listen:
        text = server_files.with_addresses(of_machine, listen)
        _write(of_machine, server_files.SETTINGS, text, did)
        needs_restart = True
    for name, text in _FILES:
        if not server_files.is_ours(of_machine, name):
            _write(of_machine, name, text, did)
    if certificate.make_if_missing(of_machine, servers.own(of_machine)[0]):
        did.append(f"made a certificate in {of_machine.settings}")
    return needs_restart


def run(of_machine: Cluster, did: list[str], *, needs_restart: bool) -> None:
    """Has the server run, with the settings as they are. Raises Error."""
    if not of_machine.is_running:
        cluster.control(of_machine, "start")
        did.append("started the cluster")
    elif needs_restart:
        cluster.control(of_machine, "restart")
        did.append("restarted the cluster")
    elif did:
        cluster.control(of_machine, "reload")


def _cluster(port: int | None, lock: int, did: list[str]) -> Cluster:
    """The cluster, made if there is none."""
    found = cluster.find()
    version = found.version if found else cluster.newest_version()
    if unfinished.phase() == unfinished.CREATING:
        unfinished.remove_half_made(version)
        found = None
    if found is None:
        unfinished.begin(unfinished.CREATING)
        found = cluster.create(version, port, keeps=[lock])
        unfinished.begin(unfinished.SETTING_UP)
        did.append(f"made the cluster {cluster.NAME} of PostgreSQL {version}")
    elif not unfinished.phase() and not server_files.is_ours(found, server_files.SETTINGS):
        message = f"there is a cluster {cluster.NAME} that pam-totp did not make"
        raise Error(f"{message}; nothing was changed", "pg_lsclusters")
    elif port not in (None, found.port):
        message = f"the cluster uses port {found.port} already"
        hint = f"pg_conftool {found.version} {cluster.NAME} set port {port}"
        raise Error(f"{message}; nothing was changed", hint)
    return found


def _write(of_machine: Cluster, name: str, text: str, did: list[str]) -> None:
    server_files.write(of_machine, (name, text.encode(), server_files.MODE))
    did.append(f"wrote {of_machine.settings}/{name}")


def _make_database(of_machine: Cluster, did: list[str]) -> None:
    """Makes the database if there is none. Raises Error."""
    with database.connect(of_machine.port, "postgres") as connection:
        named = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(named, [database.DATABASE]).fetchone() is None:
            name = sql.Identifier(database.DATABASE)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
            did.append(f"made the database {database.DATABASE}")


def _make_key(did: list[str], *, is_new: bool) -> tuple[int, ...]:
    """The versions of the key files, of which a new store gets one if there is none. Raises Error
    where one is missing or unsafe."""
    found = key_file.versions()
    if not found and is_new:
        did.append(f"made the key file {key_file.make(1)}")
        return (1,)
    if not found:
        message = f"the key file of this store is missing ({key_file.path_of(1)})"
        raise Error(message, key_file.bring_back(1, ""))
    for version in found:
        fault, repair = key_file.fault_of(version)
        if fault:
            raise Error(fault, repair)
    return tuple(found)
