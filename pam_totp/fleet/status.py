# SPDX-License-Identifier: MIT
"""How the store is: its servers, its hosts, and what needs attention. Changes nothing.

A standby server answers too; what only the primary knows is missing then.
"""

import dataclasses
import shlex
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from pam_totp.fleet import (
    hosts,
    key_file,
    keys,
    schema_migrations,
    servers,
    standby_status,
    start_conf,
    unfinished,
)
from pam_totp.fleet.cluster import Cluster
from pam_totp.fleet.join_line import server_text

MAX_UNREVEALED = 10  # in a day, by one host: of some tries the answer is lost
MAX_NAMED = 10  # hosts in a sentence
MAX_HELD_SECONDS = 2.0  # a host's check takes a hundredth of that
_HOSTS = """
    SELECT name, extract(epoch FROM last_seen)::bigint AS last_seen, clock_difference, release,
           may_enroll, burst, seconds, tries_left, unrevealed, servers,
           (SELECT count(*) FROM pg_stat_activity WHERE usename = name)::int AS connections
    FROM totp_admin_1.hosts() WHERE left_at IS NULL ORDER BY last_seen NULLS FIRST, name
"""
# Sessions of hosts in a transaction that began a while ago: they may hold rows of users.
_HOLDERS = """
    SELECT h.name::text AS host, pid,
           extract(epoch FROM clock_timestamp() - xact_start)::float AS seconds
    FROM pg_stat_activity JOIN totp.host h ON h.name = usename
    WHERE xact_start < clock_timestamp() - make_interval(secs => %s) ORDER BY xact_start
"""
_STORE = """
    SELECT id, schema_version, key_version, epoch, incarnation, enrolled_count,
           extract(epoch FROM refuses_until)::bigint AS refuses_until,
           coalesce(refuses_until > to_timestamp(totp.clock()), false) AS refuses_now,
           clock_was_ahead
    FROM totp_admin_1.store()
"""
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Status:
    """Each row by its columns' names, as --json prints it. attention: sentences, each with a
    command behind `; run: ` if one helps."""

    store: Row
    server: Row
    standbys: list[Row]
    hosts: list[Row]
    holders: list[Row]
    attention: list[str]


def look(connection: psycopg.Connection[Any], here: Cluster) -> Status:
    """Raises Error or psycopg.Error."""
    name, port = servers.own(here)
    rows = connection.cursor(row_factory=dict_row)
    store = rows.execute(_STORE).fetchall()[0]
    is_standby = connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    server = {
        "name": name,
        "port": port,
        "role": "standby" if is_standby else "primary",
        "postgresql": here.version,
        "key_files": [key_file.path_of(each) for each in key_file.versions()],
        "promoted_from": "" if is_standby else servers.old_primary(here),
    }
    found = Status(store, server, [], [], [], [])
    found.attention.extend(_of_server(connection, store))
    if is_standby:
        found.attention.extend(_of_standby(rows))
        found.attention.extend(_of_start(here))
        return found
    others = servers.others(connection, here)
    found.standbys.extend(standby_status.look(others, rows, store, here, found.attention))
    if all(each["state"] != standby_status.AWAY for each in found.standbys):
        found.attention.extend(_of_start(here))  # else it may be an old primary
    found.hosts.extend(_hosts(rows, servers.standbys(connection), found.attention))
    found.holders.extend(rows.execute(_HOLDERS, [MAX_HELD_SECONDS]).fetchall())
    found.attention.extend(
        f"{name} has changed its own role, which only a stolen host does, perhaps to fill the disk"
        f"; run: pam-totp store remove {name}"
        for name in hosts.changed_by_themselves(connection)
    )
    for each in found.holders:
        found.attention.append(
            f"{each['host']} holds a transaction open for {each['seconds']:.0f} seconds"
            f"; run: pam-totp store remove {each['host']}"
        )
    return found


def _of_server(connection: psycopg.Connection[Any], store: Row) -> list[str]:
    found = [f"{fault}; run: {repair}" for _, fault, repair in keys.wrong(connection)]
    if store["clock_was_ahead"]:
        found.append(
            "the clock was ahead when this server took over, so every code is refused for a long "
            "time (set the clock right first); run: pam-totp store restored"
        )
    newest = max(schema_migrations.versions())
    if store["schema_version"] < newest:
        found.append("the schema is of an earlier release; run: pam-totp store init")
    if store["schema_version"] > newest:
        found.append("the schema is of a later release than this pam-totp")
    if unfinished.phase():
        found.append("a command that makes the cluster was interrupted; run it again")
    return found


def _of_start(here: Cluster) -> list[str]:
    if start_conf.is_automatic(here):
        return []
    path = start_conf.path_of(here)
    return [f"this server does not start with its machine; run: echo auto >{path}"]


def _of_standby(rows: "psycopg.Cursor[DictRow]") -> list[str]:
    receiver = rows.execute("SELECT status FROM pg_stat_wal_receiver").fetchone()
    if receiver is None or receiver["status"] != "streaming":
        return ["this standby server receives no changes from the primary"]
    return []


def _hosts(
    rows: "psycopg.Cursor[DictRow]", joined: list[servers.Standby], said: list[str]
) -> list[Row]:
    found: list[Row] = rows.execute(_HOSTS).fetchall()
    lacking = dict[tuple[str, ...], list[str]]()  # names of hosts, by the servers that they lack
    for each in found:
        lacks = servers.unknown_to(each["servers"], joined)
        each["unknown_servers"] = [server_text((one.name, one.port)) for one in lacks]
        if lacks:
            lacking.setdefault(tuple(each["unknown_servers"]), []).append(each["name"])
        if each["tries_left"] <= 0:
            said.append(
                f"{each['name']} has used up its tries (burst {each['burst']}, then one in "
                f"{each['seconds']:g} s), and its logins are refused"
            )
        if each["unrevealed"] >= MAX_UNREVEALED:
            said.append(
                f"{each['name']} did not ask for the answers to {each['unrevealed']} tries in the "
                f"last day, which a stolen host does; run: pam-totp store remove {each['name']}"
            )
    said.extend(_of_lacking(names, unknown) for unknown, names in lacking.items())
    return found


def _of_lacking(names: list[str], unknown: tuple[str, ...]) -> str:
    """That these hosts do not know these servers, and the command that tells them."""
    is_one = len(names) == 1
    who = ", ".join(names[:MAX_NAMED])
    who += f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    command = shlex.join(["pam-totp", "store", "join", "--again", "--server", *unknown])
    lack = f"{who} {'does' if is_one else 'do'} not know {' and '.join(unknown)}"
    where = "there" if is_one else "on each of them"
    return (
        f"{lack}, and cannot reach the store if that becomes the primary; {where}, run: {command}"
    )
