# SPDX-License-Identifier: MIT
"""What a server says about itself and its store: asked on each new connection, and again where the
last time is a while ago."""

import time

from pam_totp.agent.connection import Connection
from pam_totp.agent.conninfo import Store
from pam_totp.agent.outcome import HostRefused, Refused, Unavailable
from pam_totp.agent.seen import Seen, State
from pam_totp.records.config import store_conf
from pam_totp.rules.record import Record

API = 1
STATEMENT = f"""\
SELECT store, schema_version, epoch, incarnation, enrolled_count, enrolled_before,
       database_clock, may_enroll
FROM totp_api_{API}.hello($1::double precision, $2::text, $3::text)""".encode()
# The errors of a database that has no such function: schema, function, database, and no permission.
OLDER = ("3F000", "42883", "3D000", "42501")
REMOVED = "P0T04"


class Hello(Record):
    """at: when it was said (time.monotonic); is_believed: whether the store is as new as one that
    this host has seen; clock_difference: how many seconds the database's clock is ahead."""

    at: float
    store: str
    schema_version: int
    state: State
    is_believed: bool
    may_enroll: bool
    clock_difference: float


def greet(connection: Connection, store: Store, release: str, seen: Seen, until: float) -> Hello:
    """Raises Unavailable, also where it is another store than this one, and then the connection is
    closed."""
    now = time.time()
    told = [repr(now), release, store_conf.text_of(store.servers)]
    try:
        (row,) = connection.ask(STATEMENT, told, until)
        found = {name: value or "" for name, value in row.items()}
        if found["store"] != store.id:
            detail = f"has another store ({found['store'][:64]}) than the one that this host joined"
            raise Unavailable(f"{connection.place} {detail}")
        state = State(
            epoch=int(found["epoch"]),
            incarnation=found["incarnation"],
            enrolled_count=int(found["enrolled_count"]),
            enrolled_before=int(found["enrolled_before"]),
        )
        if seen.has_seen_its_successor(state):
            detail = "is an old primary, and another server has taken its place; stop it"
            raise Unavailable(f"{connection.place} {detail}")
        return Hello(
            at=time.monotonic(),
            store=store.id,
            schema_version=int(found["schema_version"]),
            state=state,
            is_believed=seen.believes(state),
            may_enroll=found["may_enroll"] == "t",
            clock_difference=float(found["database_clock"]) - now,
        )
    except Unavailable:
        connection.close()
        raise
    except Refused as refused:
        connection.close()
        kind = HostRefused if refused.sqlstate == REMOVED else Unavailable
        raise kind(f"{connection.place}: {explained(refused)}") from None
    except ValueError:
        connection.close()
        raise Unavailable(f"{connection.place} does not answer like a store of pam-totp") from None


def explained(refused: Refused) -> str:
    """An error of the database, and what it means for this host."""
    if refused.sqlstate in OLDER:
        older = f"the store has no totp_api_{API} for this host ({refused})"
        return f"{older}; upgrade the database servers"
    if refused.sqlstate == REMOVED:
        return "this host was removed from the store, or never added to it"
    return str(refused)
