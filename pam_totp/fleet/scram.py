# SPDX-License-Identifier: MIT
"""Passwords of roles. The server only ever gets the verifier, so no statement, log or statistics
view can hold a password."""

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]


def verifier(connection: Connection, role: str, password: str) -> str:
    """What the server keeps in place of the password."""
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return made.decode()


def set_password(connection: Connection, role: str, password: str) -> None:
    """Gives a role a password, by a superuser or by the role itself. Raises psycopg.Error."""
    made = sql.Literal(verifier(connection, role, password))
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), made))


def set_own(connection: Connection, password: str) -> None:
    """Gives the role that is connected another password. Raises psycopg.Error."""
    set_password(connection, connection.info.user, password)


def set_own_of_standby(connection: Connection, password: str) -> None:
    """The same for a role with the right to replicate, which cannot do it itself."""
    made = verifier(connection, connection.info.user, password)
    connection.execute("SELECT totp_standby_1.set_verifier(%s)", [made])
