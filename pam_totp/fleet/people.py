# SPDX-License-Identifier: MIT
"""What administrators see and change of users in the store: the functions of totp_admin_1.

- Root is the database's superuser. It MUST act as totp_admin, which may call these functions and
  nothing else.
- Codes and secrets MUST be bound parameters: text of a statement gets into logs and statistics.

Every function raises Error.
"""

import argparse
import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pam_totp.errors import Error, UsageError, again, for_root
from pam_totp.fleet import login_host, user_names
from pam_totp.fleet.programs import INSTALL
from pam_totp.rules.credential import Credential
from pam_totp.rules.record import Record

if TYPE_CHECKING:
    import datetime

    import psycopg
    from psycopg.rows import TupleRow

    Connection = psycopg.Connection[TupleRow]

ENROLLED, NOT_ENROLLED, RESET = "enrolled", "not-enrolled", "reset"
LOCK_TIMEOUT = "3s"  # no command waits for another one for ever
_READ_ONLY = "25006"  # SQLSTATE read_only_sql_transaction
_COLUMNS = "name, state, devices, since, last_code_at, recovery_left, waiting_seconds"
_COLUMNS += ", invitation_until, reset_at"


class Person(Record):
    """What the store knows of one person. state: ENROLLED, NOT_ENROLLED or RESET; devices: their
    names; times in Unix seconds, None if there is none. waiting_seconds: 0 for none."""

    name: str
    state: str
    devices: list[str]
    since: int | None
    last_code_at: int | None
    recovery_left: int
    waiting_seconds: int
    invitation_until: int | None
    reset_at: int | None


def add_options(parser: argparse.ArgumentParser, what: str, *, json: bool = False) -> None:
    """`--fleet`, and with `json` the `--json` that goes with it."""
    parser.add_argument("--fleet", action="store_true", help=f"on a database server: {what}")
    if json:
        parser.add_argument("--json", action="store_true", help="with --fleet: print JSON")


def refuse_json_without(options: argparse.Namespace) -> None:
    """Raises UsageError for `--json` without `--fleet`."""
    if options.json and not options.fleet:
        raise UsageError("--json needs --fleet", f"pam-totp {options.verb} --help")


@contextlib.contextmanager
def connected() -> "Iterator[Connection]":
    """A connection of an administrator to the store of this machine."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    try:
        from pam_totp.fleet import database
    except ImportError as missing:
        message = f"PostgreSQL's Python library cannot be used: {missing}"
        raise Error(message, INSTALL) from None
    try:
        connection = database.connect()
    except Error as fault:
        if login_host.is_this():
            message = "this is a login host, and the store is on the database servers"
            raise Error(message, f"on a database server: {again()}") from None
        raise fault from None
    with contextlib.closing(connection), refusals_told():
        connection.execute("SET ROLE totp_admin")
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        yield connection


@contextlib.contextmanager
def refusals_told() -> Iterator[None]:
    """What PostgreSQL raises in the block is an Error of two lines."""
    import psycopg

    try:
        yield
    except psycopg.Error as failure:
        raise _explained(failure) from None


def people(connection: "Connection", only: Sequence[str] | None = None) -> list[Person]:
    """Those of these names that the store knows, or everybody, by name."""
    given = list(only) if only is not None else None
    query = f"SELECT {_COLUMNS} FROM totp_admin_1.people(%s) ORDER BY name"
    return [_person(row) for row in connection.execute(query, [given])]


def person(connection: "Connection", name: str) -> Person:
    """The one of this name. Raises Error if the store does not know the person."""
    found = people(connection, [name])
    if not found:
        raise unknown(connection, name)
    return found[0]


def unknown(connection: "Connection", name: str) -> Error:
    """The error for a name that the store does not know, with the one that may be meant."""
    near = user_names.meant(name, [each.name for each in people(connection)])
    return Error(f"the store does not know the user {name!a}{near}", "pam-totp users --fleet")


def invite(connection: "Connection", name: str, seconds: int) -> str:
    """A new invitation, in place of an earlier one: 16 characters."""
    query = "SELECT totp_admin_1.invite(%s, make_interval(secs => %s))"
    return str(_value(connection, query, name, seconds))


def end_invitation(connection: "Connection", name: str) -> bool:
    """Takes an invitation back; whether there was a valid one. A name of which nothing else is
    known is forgotten."""
    return bool(_value(connection, "SELECT totp_admin_1.end_invitation(%s)", name))


def reset(connection: "Connection", name: str) -> bool:
    """Takes all credentials, recovery codes and invitations away; whether there were any."""
    return bool(_value(connection, "SELECT totp_admin_1.reset(%s)", name))


def unlock(connection: "Connection", name: str) -> bool:
    """Ends the wait after incorrect codes; whether there was one."""
    return bool(_value(connection, "SELECT totp_admin_1.unlock(%s)", name))


def new_recovery_codes(connection: "Connection", name: str) -> list[str]:
    """Ten codes of 16 characters, in place of the old ones."""
    return list(_value(connection, "SELECT totp_admin_1.new_recovery_codes(%s)", name))


def import_credential(
    connection: "Connection", name: str, credential: Credential, last_step: int
) -> bool:
    """One more device of a person, or a later last step of one that is there; whether anything
    changed. last_step: the time step up to which codes count as used."""
    query = "SELECT totp_admin_1.import_credential(%s, %s, %s, %s, %s, %s, %s, %s)"
    algorithm, offset = credential.algorithm.lower(), credential.offset
    of_codes = algorithm, credential.digits, credential.period, offset
    parameters = name, credential.secret, *of_codes, credential.device, last_step
    return bool(_value(connection, query, *parameters))


def in_groups(code: str) -> str:
    """An invitation or a recovery code, as people read it."""
    return "-".join(re.findall(".{1,4}", code))


def _value(connection: "Connection", query: str, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _person(row: "TupleRow") -> Person:
    name, state, devices, since, last, left, waiting, invited, reset_at = row
    return Person(
        name=name,
        state=state,
        devices=list(devices or ()),
        since=_seconds(since),
        last_code_at=_seconds(last),
        recovery_left=left or 0,
        waiting_seconds=waiting or 0,
        invitation_until=_seconds(invited),
        reset_at=_seconds(reset_at),
    )


def _seconds(moment: "datetime.datetime | None") -> int | None:
    return None if moment is None else int(moment.timestamp())


def _explained(failure: "psycopg.Error") -> Error:
    if failure.sqlstate == _READ_ONLY:
        message = "this server is a standby, which is read-only"
        return Error(f"{message}; nothing was changed", "run the command on the primary server")
    what = failure.diag.message_primary or str(failure).strip().split("\n")[0]
    return Error(f"the store refused: {what}", "pam-totp store status")
