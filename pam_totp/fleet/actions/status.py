# SPDX-License-Identifier: MIT
"""`pam-totp store status`: how the store is, as this database server sees it."""

import argparse
import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pam_totp.fleet.actions.answer import Answer
from pam_totp.listing import columns, moment

if TYPE_CHECKING:
    from pam_totp.fleet import status

HELP = "show servers and hosts, and what needs attention"
ABOUT = (
    "Show the servers and the hosts of the store. The exit status is 1 if something needs "
    "attention: a key file that is missing or wrong, a standby server that is not connected, far "
    "behind or without the key, a clock that was ahead at a failover, a host that does not know "
    "all servers, has used up its tries, did not ask for their answers or keeps a transaction "
    "open, an unfinished init, or another schema version. Run it as root."
)

_OF_HOSTS = ("host", "last seen (UTC)", "clock", "release", "tries left", "unanswered", "servers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def run(options: argparse.Namespace) -> Answer:
    """1: something needs attention. Raises Error."""
    from pam_totp.fleet import cluster, database, status

    here = cluster.existing()
    with database.connect(here.port) as connection:
        found = status.look(connection, here)
    values = {**dataclasses.asdict(found), "needs_attention": bool(found.attention)}
    return Answer(values, _lines(found), 1 if found.attention else 0)


def _lines(found: "status.Status") -> list[str]:
    store, server = found.store, found.server
    lines = [
        f"Store {store['id']}, schema version {store['schema_version']}, epoch {store['epoch']}, "
        f"key fleet-key.{store['key_version']}",
        f"This server: {server['name']}:{server['port']}, {server['role']}, "
        f"PostgreSQL {server['postgresql']}",
    ]
    if server["promoted_from"] and not any(each["port"] for each in found.standbys):
        lines += _what_of_the_old_one(server["promoted_from"], server["postgresql"])
    if store["refuses_now"]:
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(store["refuses_until"]))
        before = "Codes that may have been accepted before the promotion or restore"
        lines.append(f"{before} are refused until {until} UTC.")
    if found.standbys:
        rows = [("standby server", "state", "bytes behind", "key")]
        rows += [
            (
                each["name"],
                each["state"] + (" (synchronous)" if each["synchronous"] else ""),
                "-" if each["lag_bytes"] is None else str(each["lag_bytes"]),
                {True: "yes", False: "no", None: "unknown"}[each["has_key"]],
            )
            for each in found.standbys
        ]
        lines += ["", *_table(rows)]
    if found.hosts:
        hosts: list[tuple[str, ...]] = [_OF_HOSTS]
        hosts += [_of_host(each) for each in found.hosts]
        lines += ["", *_table(hosts)]
    lines += ["", *(f"Attention: {each}" for each in found.attention)]
    return lines if found.attention else [*lines, "Nothing needs attention."]


def _what_of_the_old_one(name: str, version: str) -> list[str]:
    from pam_totp.fleet import start_conf

    return [
        f"It was promoted in place of {name}, which must not start again as a primary. There, run:",
        f"  {start_conf.stop_for_good(version)}",
        "To make it a standby server: pam-totp store add --standby here, and then",
        "pam-totp store standby --replace there.",
    ]


def _of_host(host: "status.Row") -> tuple[str, ...]:
    difference = host["clock_difference"]
    lacks = ", ".join(host["unknown_servers"])
    return (
        host["name"],
        moment(host["last_seen"]),
        "-" if difference is None else f"{difference:+.1f} s",
        host["release"] or "-",
        f"{host['tries_left']} of {host['burst']}",
        str(host["unrevealed"]),
        "-" if host["servers"] is None else f"not {lacks}" if lacks else "all",
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return [line for row in columns(rows, max_first=24) for line in row]
