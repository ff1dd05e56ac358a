# SPDX-License-Identifier: MIT
"""Making this machine a standby server: a copy of the primary that follows it, and can take its
place.

- The key files MUST be there and right before anything else: promoted without them, the server
  accepts no code.
- An existing cluster MUST be given up only if that was asked for, and its data MUST be kept.
- The copy MUST be of the store that the line names.
"""

import dataclasses
import time
from functools import partial

import psycopg
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import (
    cluster,
    copying,
    database,
    host_conf,
    initialising,
    join_line,
    joining,
    key_file,
    own_password,
    scram,
    server_files,
    servers,
    start_conf,
    unfinished,
)
from pam_totp.fleet.cluster import Cluster
from pam_totp.fleet.join_line import JoinLine
from pam_totp.fleet.waiting import in_time

_SECONDS_TO_FOLLOW = 60.0
Connection = psycopg.Connection[TupleRow]


@dataclasses.dataclass(frozen=True)
class StandingBy:
    """name: of this server in the store. did: what was changed, in sentences."""

    cluster: Cluster
    name: str
    did: tuple[str, ...]


def follow(line: JoinLine, listen: str, port: int | None, *, replaces: bool) -> StandingBy:
    """Makes the copy, or completes one. listen: addresses with commas between them. replaces: a
    cluster that is there gives way. Raises Error."""
    did: list[str] = []
    if not line.keys:  # they are what the key files of this machine are compared with
        message = "this is a line of a login host, or not all of one for a standby server"
        hint = (
            f"run on the primary, and copy the whole line: pam-totp store add --standby {line.name}"
        )
        raise Error(f"{message}; nothing was changed", hint)
    key_file.refuse_others(line.keys, line.servers[0][0])
    with unfinished.locked() as lock:
        found = _found(line, replaces=replaces)
        conninfo = host_conf.conninfo_of(line)
        primary = _replace_password(line, conninfo)
        is_copied = found is not None and found.is_standby
        if found is None or not is_copied or unfinished.phase() == unfinished.CREATING:
            found = _copied(line, conninfo, primary, port, found, lock, did)
        copying.write_passfile(found, line.name)
        if start_conf.make_automatic(found):
            did.append("set the cluster to start with the machine")
        needs_restart = initialising.write_files(found, listen, did)
        initialising.run(found, did, needs_restart=needs_restart)
        _wait_until_it_follows(found, line.store)
        keys = tuple(map(key_file.check_value, key_file.versions()))
        tell = partial(servers.tell_primary, primary, found.port, keys)
        in_time(tell, conninfo, "pam-totp store standby")
        primary.close()
        unfinished.end()
    return StandingBy(cluster.existing(), line.name, tuple(did))


def check_again() -> StandingBy:
    """Tells the primary which keys an existing standby server has. Raises Error."""
    found = cluster.existing()
    conninfo = _conninfo_of(found)
    if not found.is_standby or not conninfo:
        raise Error("this server is not a standby", "pam-totp store standby LINE")
    for version in key_file.versions():
        key_file.mend(version)
    keys = tuple(map(key_file.check_value, key_file.versions()))
    password = own_password.read(copying.PASSWORD)

    def tell() -> str:
        with joining.connecting(conninfo)(password) as primary:
            servers.tell_primary(primary, found.port, keys)
            return primary.info.user

    try:
        name = in_time(tell, conninfo, "pam-totp store status")
    except psycopg.OperationalError as failure:
        words = " ".join(str(failure).split())
        raise Error(f"cannot connect to the primary: {words}", "pam-totp store status") from None
    return StandingBy(found, name, ())


def _found(line: JoinLine, *, replaces: bool) -> Cluster | None:
    """The cluster of this machine, None if there is none that counts. Raises Error."""
    found = cluster.find()
    if found is None or unfinished.phase() == unfinished.CREATING:
        return found
    if found.is_standby and f"user={line.name} " in f"{_conninfo_of(found)} ":
        return found
    if not replaces:
        message = f"this machine has a cluster {cluster.NAME} already"
        hint = f"if it is an old primary, add --replace, which keeps its data in {found.data}"
        raise Error(f"{message}; nothing was changed", f"{hint}{copying.REPLACED}")
    return found


def _replace_password(line: JoinLine, conninfo: str) -> Connection:
    """A connection to the primary, by a password that only this machine has. Raises Error."""
    connect = joining.connecting(conninfo)

    def replace() -> Connection:
        own_password.connect_and_replace(
            copying.PASSWORD,
            line.password,
            connect,
            lambda _: None,
            set_own=scram.set_own_of_standby,
        )
        return connect(own_password.read(copying.PASSWORD))

    hint = f"run on the primary: pam-totp store add --standby {line.name}"
    try:
        return in_time(replace, conninfo, joining.where_to_look(conninfo))
    except own_password.Refused:
        why = "the line was used already, or is not the newest one"
        message = f"the store refuses the password of {line.name}, because {why}"
        raise Error(message, hint) from None
    except psycopg.Error as failure:
        words = " ".join(str(failure).split())
        raise Error(f"cannot connect to the primary: {words}", hint) from None


def _copied(
    line: JoinLine,
    conninfo: str,
    primary: Connection,
    port: int | None,
    before: Cluster | None,
    lock: int,
    did: list[str],
) -> Cluster:
    """A cluster with a copy of the primary's data, in place of one that is there. Raises Error."""
    version = str(primary.info.server_version // 10000)
    if unfinished.phase() == unfinished.CREATING:
        unfinished.remove_half_made(version)
        before = None
    if before is not None and before.version != version:
        message = f"the primary runs PostgreSQL {version}, and this cluster {before.version}"
        raise Error(f"{message}; nothing was changed", f"apt-get install postgresql-{version}")
    if before is not None:
        copying.keep_data(before, did)
    unfinished.begin(unfinished.CREATING)
    made = before or cluster.create(version, port, [lock])
    copying.copy(line, conninfo, primary, made, [lock])
    unfinished.begin(unfinished.SETTING_UP)
    did.append(f"copied the data of {join_line.server_text(line.servers[0])}")
    return cluster.existing()


def _wait_until_it_follows(found: Cluster, store: str) -> None:
    """Raises Error if the server is of another store, or gets nothing from the primary."""
    deadline = time.monotonic() + _SECONDS_TO_FOLLOW
    with database.connect(found.port) as connection:
        copied, _ = servers.identity(connection)
        if copied != store:
            raise Error(f"the copy is of the store {copied}, not {store}", "pam-totp store status")
        streaming = "SELECT status FROM pg_stat_wal_receiver"
        while connection.execute(streaming).fetchone() != ("streaming",):
            if time.monotonic() > deadline:
                raise Error("the copy was made, but gets no changes", f"tail {found.log}")
            time.sleep(0.1)


def _conninfo_of(found: Cluster) -> str:
    """That of the primary, without the parts that only the server itself uses."""
    text = server_files.content_of(found, server_files.STANDBY) or ""
    line = next((each for each in text.split("\n") if each.startswith("primary_conninfo")), "")
    words = line.partition("'")[2].rstrip("'").split()
    return " ".join(each for each in words if not each.startswith(("passfile=", "application_")))
