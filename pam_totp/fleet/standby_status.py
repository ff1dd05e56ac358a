# SPDX-License-Identifier: MIT
"""How the standby servers are, as the primary sees them. Changes nothing."""

import os
from typing import Any

import psycopg
from psycopg.rows import DictRow

from pam_totp.fleet import key_file, servers, start_conf
from pam_totp.fleet.cluster import Cluster

AWAY = "not connected"
MAX_LAG_BYTES = 16 * 1024 * 1024  # one segment of WAL
MAX_LAG_SECONDS = 60.0
_SENDERS = """
    SELECT usename, coalesce(host(client_addr), '') AS address, state, sync_state,
           pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS lag_bytes,
           extract(epoch FROM replay_lag)::float AS lag_seconds
    FROM pg_stat_replication
"""
_SLOTS = "SELECT slot_name, wal_status FROM pg_replication_slots"
Row = dict[str, Any]


def look(
    others: list[servers.Standby],
    rows: "psycopg.Cursor[DictRow]",
    store: Row,
    here: Cluster,
    said: list[str],
) -> list[Row]:
    """Each of them as --json prints it. store: the row of the store; said: gets a sentence for each
    thing that needs attention. Raises Error or psycopg.Error."""
    senders = {row["usename"]: row for row in rows.execute(_SENDERS).fetchall()}
    slots = {row["slot_name"]: row["wal_status"] for row in rows.execute(_SLOTS).fetchall()}
    version = store["key_version"]
    path = key_file.path_of(version)
    value = key_file.check_value(version) if os.path.exists(path) else ""
    found = []
    for each in others:
        sender = senders.get(each.name, {})
        has_key = value in each.keys if value else None  # without the own one it is unknown
        lag_bytes, lag_seconds = sender.get("lag_bytes"), sender.get("lag_seconds")
        found.append(
            {
                "name": each.name,
                "port": each.port or None,
                "address": sender.get("address", ""),
                "state": sender.get("state", AWAY),
                "synchronous": sender.get("sync_state", "") in ("sync", "quorum"),
                "lag_bytes": lag_bytes,
                "lag_seconds": lag_seconds,
                "has_key": has_key,
            }
        )
        if not each.port:
            said.append(f"{each.name} has not joined yet; run there: pam-totp store standby")
            continue
        if not sender:
            what = f"the standby server {each.name} is not connected"
            stop = start_conf.stop_for_good(here.version)
            said.append(f"{what}; if it was promoted, this server must not run any more: {stop}")
        elif (lag_bytes or 0) > MAX_LAG_BYTES or (lag_seconds or 0) > MAX_LAG_SECONDS:
            said.append(f"the standby server {each.name} is {lag_bytes} bytes behind")
        if slots.get(servers.slot_of(each.name)) == "lost":
            said.append(
                f"{each.name} is too far behind, and must be copied again (by the line, there: "
                f"pam-totp store standby --replace); run: pam-totp store add --standby {each.name}"
            )
        if has_key is False:
            said.append(
                f"the standby server {each.name} has not said that it has {path}"
                f"; run: {key_file.copy_to(each.name, version)}"
            )
    return found
