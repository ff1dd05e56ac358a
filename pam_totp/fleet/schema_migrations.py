# SPDX-License-Identifier: MIT
"""The schema of the store, and how a database gets from one version of it to the next.

`schema/NNN` holds the SQL of version NNN, files that run in the order of their names.

- A migration MUST run in one transaction: one that fails leaves nothing.
- It MUST keep the schema `totp_api_N` that the release before it called. So the store is updated
  first, then the hosts, at any pace.
"""

from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from pam_totp.errors import Error

SCHEMA = Path(__file__).parent / "schema"
LOCK_TIMEOUT = "3s"  # logins wait for whom we wait for


def apply(connection: psycopg.Connection[TupleRow], key_version: int = 1) -> list[int]:
    """Brings the database of a superuser's connection to the newest version; the versions that were
    applied, in order. key_version: of the key file that a new store seals with. Raises Error."""
    newest = max(versions())
    applied = []
    try:
        present = version_of(connection)
        if present > newest:
            what = f"the store has schema version {present}, this release knows {newest}"
            raise Error(what, "apt install --only-upgrade pam-totp")
        for version in versions():
            if version > present:
                migrate(connection, version, key_version)
                applied.append(version)
    except psycopg.Error as failure:
        first = failure.diag.message_primary or str(failure).strip().partition("\n")[0]
        raise Error(
            f"the schema of the store cannot be updated: {first}", hint_for(failure)
        ) from None
    return applied


def versions() -> list[int]:
    """Those that this release knows, in order."""
    return sorted(int(folder.name) for folder in SCHEMA.iterdir() if folder.name.isdigit())


def version_of(connection: psycopg.Connection[TupleRow]) -> int:
    """Of the database; 0 for one without a store. Raises psycopg.Error."""
    found = connection.execute("SELECT to_regclass('totp.store')").fetchone()
    if found is None or found[0] is None:
        return 0
    row = connection.execute("SELECT schema_version FROM totp.store").fetchone()
    assert row is not None
    return int(row[0])


def migrate(connection: psycopg.Connection[TupleRow], version: int, key_version: int) -> None:
    """Applies one version. Raises psycopg.Error."""
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        connection.execute("SELECT set_config('totp.key_version', %s, true)", [str(key_version)])
        for file in sorted((SCHEMA / f"{version:03}").glob("*.sql")):
            connection.execute(file.read_bytes())
        connection.execute("UPDATE totp.store SET schema_version = %s", [version])


def hint_for(failure: psycopg.Error) -> str:
    """What ends the failure of a migration."""
    if failure.sqlstate == "55P03":
        return "A login or a command keeps a table locked. Run the same command again."
    return "pam-totp store status"
