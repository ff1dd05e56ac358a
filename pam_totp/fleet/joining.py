# SPDX-License-Identifier: MIT
"""A login host joins the store: its two files, and a password that replaces the pasted one.

- Both files MUST be there, or the agent answers nobody: the password is written first.
- The store MUST be the one that the line names, before anything of this host or of its role is
  changed.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from pam_totp import VERSION
from pam_totp.errors import Error
from pam_totp.fleet import host_conf, join_line, own_password
from pam_totp.fleet.join_line import JoinLine
from pam_totp.fleet.waiting import in_time
from pam_totp.records.config import store_conf

PASSWORD = store_conf.PASSWORD_PATH
SECONDS_TO_CONNECT = 5
Connection = psycopg.Connection[TupleRow]


@dataclasses.dataclass(frozen=True)
class Joined:
    """changed: whether this host had not joined completely before."""

    host: str
    store: str
    changed: bool


def join(line: JoinLine) -> Joined:
    """Joins the store by a line of `pam-totp store add`. Raises Error."""
    if line.keys:
        message = "this line is for a standby server, not for a login host; nothing was changed"
        raise Error(message, "copy the line that `pam-totp store add` printed for this host")
    before = host_conf.current()
    if before is not None and (before.store, host_conf.user_of(before)) != (line.store, line.name):
        message = (
            f"this host has joined the store {before.store} as {host_conf.user_of(before)} already"
        )
        raise Error(f"{message}; nothing was changed", f"rm {host_conf.PATH} {PASSWORD}")
    conninfo = host_conf.conninfo_of(line)
    changed = _replace(conninfo, line.password, line.store, line.name)
    if before is None or before.conninfo != conninfo:
        host_conf.write(line.store, conninfo)
        changed = True
    return Joined(line.name, line.store, changed)


def already() -> Joined:
    """What this host has joined. Raises Error where it has not."""
    found = host_conf.current()
    if found is None:
        raise Error("this host has not joined a store", "pam-totp store join")
    return Joined(host_conf.user_of(found), found.store, changed=False)


def rotate(added: Sequence[host_conf.Server] = ()) -> Joined:
    """Gives this host's role another password, and has the host know these servers too. Raises
    Error."""
    found = host_conf.current()
    joined = already()
    assert found is not None
    conninfo = host_conf.with_servers(found, added)
    for each in added:
        _refuse_unless_it_answers(found, each)
    _replace(conninfo, "", found.store, joined.host, again=True)
    if conninfo != found.conninfo:
        host_conf.write(found.store, conninfo)
    return dataclasses.replace(joined, changed=True)


def connecting(conninfo: str, kind: str = "read-write") -> Callable[[str], Connection]:
    """How to connect by a password: to the primary, or to a server of any kind."""

    def connect(password: str) -> Connection:
        return psycopg.connect(
            conninfo,
            password=password,
            autocommit=True,
            connect_timeout=SECONDS_TO_CONNECT,
            target_session_attrs=kind,
            passfile="/dev/null",
        )

    return connect


def _refuse_unless_it_answers(conf: store_conf.StoreConf, server: host_conf.Server) -> None:
    """Raises Error unless the server, primary or standby, proves that it knows this host."""
    conninfo = make_conninfo(**conf.keywords | host_conf.places([server]))
    who, hint = join_line.server_text(server), where_to_look(conninfo)
    password = own_password.read(PASSWORD)
    try:
        in_time(lambda: connecting(conninfo, "any")(password).close(), conninfo, hint)
    except psycopg.Error as failure:
        words = " ".join(str(failure).split())
        message = f"cannot connect to {who}: {words}; nothing was changed"
        raise Error(message, hint) from None


def _replace(conninfo: str, given: str, store: str, name: str, *, again: bool = False) -> bool:
    def check(connection: Connection) -> None:
        found = _store_of(connection, conninfo)
        if found != store:
            message = f"the server has the store {found}, and not {store}"
            raise Error(f"{message}; nothing was changed", f"pam-totp store add {name}")

    def replace() -> bool:
        return own_password.connect_and_replace(
            PASSWORD, given, connecting(conninfo), check, again=again
        )

    try:
        return in_time(replace, conninfo, where_to_look(conninfo))
    except own_password.Refused:
        why = "the join line was used already, or is not the newest one"
        message = f"the store refuses the password of {name}, because {why}"
        anew = f"pam-totp store remove {name} && pam-totp store add {name}"
        hint = f"If no other host has joined as {name}, run on the primary: {anew}"
        raise Error(message, hint) from None
    except psycopg.Error as failure:
        words = " ".join(str(failure).split()) or type(failure).__name__
        if "not permitted to log in" in words:
            message = f"the store has removed {name}"
            raise Error(message, f"run on the primary: pam-totp store add {name}") from None
        raise Error(f"cannot connect to the store: {words}", where_to_look(conninfo)) from None


def where_to_look(conninfo: str) -> str:
    """A hint that names what a firewall, or a wrong address, keeps from this host."""
    found = conninfo_to_dict(conninfo)
    return (
        f"Check that the store runs at {found.get('host')}, port {found.get('port')}, "
        "and that no firewall is in between."
    )


def _store_of(connection: Connection, conninfo: str) -> str:
    """The id of the store, which is told what the agent will tell it."""
    known = store_conf.text_of(store_conf.servers_of(store_conf.keywords_of(conninfo)))
    told = [time.time(), VERSION, known]
    row = connection.execute("SELECT store FROM totp_api_1.hello(%s, %s, %s)", told).fetchone()
    return str(row[0]) if row else ""
