# SPDX-License-Identifier: MIT
"""A login host and its role: PostgreSQL knows the host by it, and it cannot call itself another.

Only a superuser can make roles.
"""

import re

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from pam_totp.errors import Error
from pam_totp.fleet import scram
from pam_totp.fleet.join_line import new_password

MAX_NAME_BYTES = 63  # of a role
CONNECTIONS = 4
# Of a host's sessions. Those that it could change for itself keep an honest host from mistakes; the
# functions of the store do not rely on them. No statement_timeout: it ends the wait for a
# synchronous standby, and what is not at the standby is then answered as if it were.
LIMITS = {
    "temp_file_limit": "8MB",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "2s",
    "work_mem": "4MB",
    "log_min_error_statement": "panic",  # no text of a statement that failed, whatever is in it
    # A host learns of its errors itself, and would fill the disk with errors of any length.
    "log_min_messages": "fatal",
}

_IS_STANDBY = """
    SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
      JOIN pg_roles r ON r.oid = m.member
    WHERE g.rolname = 'totp_standby' AND r.rolname = %s
"""
_SET_FOR_DATABASES = """
    SELECT datname FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
    WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = %s)
"""
MAX_VERIFIER_CHARACTERS = 200  # libpq's has 133
_HAS_LONG_VERIFIER = "SELECT FROM pg_authid WHERE rolname = %s AND length(rolpassword) > %s"
_CHANGED = """
    SELECT h.name FROM totp.host h JOIN pg_authid r ON r.rolname = h.name
    WHERE h.left_at IS NULL AND (
      length(r.rolpassword) > %(most)s
      OR EXISTS (SELECT FROM pg_default_acl WHERE defaclrole = r.oid)
      OR EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase <> 0)
      OR NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0
                     AND setconfig @> %(limits)s AND setconfig <@ %(limits)s))
    ORDER BY 1
"""
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def add(
    connection: psycopg.Connection[TupleRow],
    name: str,
    *,
    may_enroll: bool = False,
    burst: int | None = None,
    seconds: float | None = None,
) -> str:
    """Adds a host, or gives one that has left a new role; its password, which is nowhere else.

    may_enroll: people without an invitation, at their login; burst, seconds: so many tries at once,
    then one more in so many seconds, in place of the store's setting. Raises Error."""
    require_name(name)
    password = new_password()
    verifier = scram.verifier(connection, name, password)
    try:
        with connection.transaction():
            require_unused(connection, name)
            make_role(connection, name, verifier)
            connection.execute(
                "SELECT totp_admin_1.add_host(%s, %s, %s, %s)", [name, may_enroll, burst, seconds]
            )
    except psycopg.Error as failure:
        raise cannot("add", name, failure) from None
    return password


def remove(connection: psycopg.Connection[TupleRow], name: str) -> bool:
    """Throws a host out at once; whether it was one. Raises Error.

    In this order: a host may keep its own row locked until its sessions are ended, and would come
    back if it could still log in."""
    require_name(name)
    try:
        if connection.execute("SELECT FROM totp.host WHERE name = %s", [name]).fetchone() is None:
            return False
        if exists(connection, name):
            connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = %s",
            [name],
        )
        row = connection.execute("SELECT totp_admin_1.remove_host(%s)", [name]).fetchone()
        if exists(connection, name):
            forget_own_changes(connection, name)
    except psycopg.Error as failure:
        raise cannot("remove", name, failure) from None
    return row is not None and bool(row[0])


def require_name(name: str) -> None:
    """Raises Error unless it is the name of a host, in lower case: so no role of PostgreSQL's or of
    ours is meant, those have an underscore, but for those that are refused here."""
    if len(name) <= MAX_NAME_BYTES and _NAME.fullmatch(name) and name not in ("postgres", "public"):
        return
    raise Error(
        f"{name!a} is not a valid host name",
        "A name must have lower-case letters, digits, dots and dashes, and at most 63 characters.",
    )


def require_unused(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """Raises Error where the host is there already, or a role of somebody else's has its name."""
    row = connection.execute("SELECT left_at FROM totp.host WHERE name = %s", [name]).fetchone()
    if row is not None and row[0] is None:
        again = f"pam-totp store remove {name} && pam-totp store add {name}"
        hint = f"If no machine has joined as {name}, run: {again}"
        raise Error(f"the store already has a host {name}", hint)
    if connection.execute(_IS_STANDBY, [name]).fetchone() is not None:
        anew = f"pam-totp store remove {name} && pam-totp store add {name}"
        hint = f"If {name} is no longer a database server, run: {anew}"
        raise Error(f"{name} was added as a standby server; nothing was changed", hint)
    if row is None and exists(connection, name):
        message = f"the database server has a role {name} that does not belong to the store"
        raise Error(message, "Use another name.")


def exists(connection: psycopg.Connection[TupleRow], name: str) -> bool:
    """Whether there is a role of this name."""
    found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
    return found.fetchone() is not None


def make_role(connection: psycopg.Connection[TupleRow], name: str, verifier: str) -> None:
    """Of a host: it may log in, from a few connections, and call what totp_host may."""
    role = sql.Identifier(name)
    if not exists(connection, name):
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
    connection.execute(
        sql.SQL(
            "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            " INHERIT CONNECTION LIMIT {} PASSWORD {}"
        ).format(role, sql.Literal(CONNECTIONS), sql.Literal(verifier))
    )
    connection.execute(sql.SQL("GRANT totp_host TO {}").format(role))
    forget_own_changes(connection, name)
    for setting, value in LIMITS.items():
        connection.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(
                role, sql.Identifier(setting), sql.Literal(value)
            )
        )


def forget_own_changes(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """What a host can have the server keep, of any size: default privileges, what it says is its
    password, and settings of its role, also for one database, whichever that is."""
    forget_rights(connection, name)
    role = sql.Identifier(name)
    connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(role))
    for (database,) in connection.execute(_SET_FOR_DATABASES, [name]).fetchall():
        reset = sql.SQL("ALTER ROLE {} IN DATABASE {} RESET ALL")
        connection.execute(reset.format(role, sql.Identifier(database)))
    values = [name, MAX_VERIFIER_CHARACTERS]
    if connection.execute(_HAS_LONG_VERIFIER, values).fetchone() is not None:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD NULL").format(role))


def changed_by_themselves(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """The hosts whose roles are not as `add` left them: but for the password, none changes its
    own."""
    as_added = [f"{setting}={value}" for setting, value in LIMITS.items()]
    rows = connection.execute(_CHANGED, {"limits": as_added, "most": MAX_VERIFIER_CHARACTERS})
    return [str(name) for (name,) in rows]


def forget_rights(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """What the role has of its own, which is none of ours: default privileges, which every role can
    set for itself and give to another one. While it has some, it cannot be dropped."""
    connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))


def cannot(do: str, name: str, failure: psycopg.Error) -> Error:
    """The error where the database server refuses."""
    first = failure.diag.message_primary or str(failure).strip().partition("\n")[0]
    return Error(f"cannot {do} {name}: {first}", "pam-totp store status")
