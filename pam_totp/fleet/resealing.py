# SPDX-License-Identifier: MIT
"""A new key for all secrets.

- Every standby server MUST have the new key before the first secret is sealed with it: promoted
  without it, the server could accept no code.
- Portions MUST be small, so that no login waits for a row.
"""

import dataclasses

import psycopg
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import cluster, key_file, keys, servers

_PORTION = 500


@dataclasses.dataclass(frozen=True)
class Resealed:
    """new, old: versions. secrets: how many were sealed with the new one."""

    new: int
    old: tuple[int, ...]
    secrets: int
    made_key: bool


def reseal(connection: psycopg.Connection[TupleRow]) -> Resealed:
    """Makes the next key file unless one waits to be used, and seals all secrets with it. Raises
    Error: also where a standby server does not have the key yet; then nothing is sealed."""
    keys.refuse_wrong(connection)
    used = keys.in_use(connection)
    old = tuple(each for each in keys.needed(connection) if each != used)
    if old:  # it was interrupted
        return Resealed(used, old, _all(connection, used), made_key=False)
    newest = max(key_file.versions())
    made_key = newest <= used
    if made_key:
        newest = used + 1
        key_file.make(newest)
    refuse_standbys_without(connection, newest)
    return Resealed(newest, (used,), _all(connection, newest), made_key)


def refuse_standbys_without(connection: psycopg.Connection[TupleRow], version: int) -> None:
    """Raises Error for the first standby server that has not said that it has this key."""
    value = key_file.check_value(version)
    for each in servers.others(connection, cluster.existing()):
        if value not in each.keys:
            path = key_file.path_of(version)
            message = f"the standby server {each.name} has not said that it has {path}"
            then = "copy it, and run there: pam-totp store standby"
            hint = key_file.copy_to(each.name, version)
            raise Error(f"{message} ({then}); nothing was encrypted again", hint)


def _all(connection: psycopg.Connection[TupleRow], version: int) -> int:
    """Seals every secret that is sealed with another version; how many."""
    total = 0
    while True:
        row = connection.execute(
            "SELECT totp_admin_1.reseal(%s, %s)", [version, _PORTION]
        ).fetchone()
        count = int(row[0]) if row else 0
        if not count:
            return total
        total += count
