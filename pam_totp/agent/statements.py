# SPDX-License-Identifier: MIT
"""Each verb of the line: what the store is asked for it, and how its answer is said.

Values are bound parameters, never a part of a statement: a code in a text would be in the logs and
statistics of the database.
"""

from base64 import b32encode
from collections.abc import Callable

from pam_totp.agent.connection import Connection
from pam_totp.agent.hello import API, REMOVED, Hello, explained
from pam_totp.agent.outcome import Refused, Unavailable
from pam_totp.rules import agent_line
from pam_totp.rules.agent_line import HOST_IS_REFUSED, MAX_PERSONS
from pam_totp.rules.reasons import HOST_REFUSED, HOST_THROTTLED, NOT_ENROLLED

Row = dict[str, str | None]
Answer = list[object]

_CHECK = f"CALL totp_api_{API}.check($1::text, $2::text, $3::text, $4::text"
_CHECKED = ", ".join(["NULL"] * 6)
CHECK, CHECK_COUNTED = f"{_CHECK}, {_CHECKED})", f"{_CHECK}, {_CHECKED}, $5::bigint)"
COUNT_SENT = f"""\
SELECT ticket, refusal, wait_seconds, enrolled
FROM totp_api_{API}.count_sent($1::text, $2::text, $3::text)"""
TAKE_BACK = f"SELECT totp_api_{API}.take_back($1::bigint, $2::text)"
STANDING = f"SELECT state, wait_seconds FROM totp_api_{API}.standing($1::text)"
STANDINGS = f"""\
SELECT person, state, wait_seconds, devices, recovery_left
FROM totp_api_{API}.standings(pg_catalog.string_to_array($1::text, E'\\n'))"""
ENROLL_BEGIN = f"""\
SELECT pg_catalog.encode(secret, 'hex') AS secret, pg_catalog.upper(algorithm) AS algorithm,
       digits, period, replaces
FROM totp_api_{API}.enroll_begin($1::text, $2::text, $3::text)"""
ENROLL_CONFIRM = f"""\
SELECT confirmed, reason, pg_catalog.array_to_string(recovery_codes, ' ') AS recovery_codes
FROM totp_api_{API}.enroll_confirm($1::text, $2::text, $3::text)"""
SQLSTATES = {
    "P0T02": (NOT_ENROLLED, "the invitation is unknown, already used or expired"),
    "P0T03": (NOT_ENROLLED, "users need an invitation to enroll at this host"),
    REMOVED: (HOST_REFUSED, f"{HOST_IS_REFUSED}: it was removed"),
    "P0T06": (HOST_THROTTLED, "this host has used up its tries"),
}
DISBELIEVED = "disbelieved"
CHECK_FIELDS = 4


def check(connection: Connection, _: Hello, fields: list[str], until: float) -> Answer:
    """Fields: person, answer, service, rhost; and a ticket, where it was counted already."""
    statement = CHECK if len(fields) == CHECK_FIELDS else CHECK_COUNTED
    (row,) = connection.ask(statement.encode(), fields, until)
    names = ("accepted", "reason", "device", "wait_seconds", "recovery_left", "detail")
    return [row[name] for name in names]


def count_sent(connection: Connection, _: Hello, fields: list[str], until: float) -> Answer:
    """Fields: person, service, rhost."""
    (row,) = connection.ask(COUNT_SENT.encode(), fields, until)
    return [row[name] for name in ("ticket", "refusal", "wait_seconds", "enrolled")]


def take_back(connection: Connection, _: Hello, fields: list[str], until: float) -> Answer:
    """Fields: ticket, person."""
    connection.ask(TAKE_BACK.encode(), fields, until)
    return []


def standing(connection: Connection, hello: Hello, fields: list[str], until: float) -> Answer:
    """Fields: person."""
    (row,) = connection.ask(STANDING.encode(), fields, until)
    return [believed(row["state"], hello), row["wait_seconds"], hello.may_enroll]


def standings(connection: Connection, hello: Hello, persons: list[str], until: float) -> Answer:
    """Fields: any number of persons."""
    rows = connection.ask(STANDINGS.encode(), ["\n".join(persons)], until)
    by_name = {row["person"]: row for row in rows}
    answer: Answer = []
    for person in persons:
        row = by_name[person]
        state = believed(row["state"], hello)
        answer += [state, row["wait_seconds"], row["devices"], row["recovery_left"]]
    return answer


def enroll_begin(connection: Connection, _: Hello, fields: list[str], until: float) -> Answer:
    """Fields: person, invitation, device."""
    (row,) = connection.ask(ENROLL_BEGIN.encode(), fields, until)
    secret = b32encode(bytes.fromhex(row["secret"] or "")).decode().rstrip("=")
    return [secret, row["algorithm"], row["digits"], row["period"], row["replaces"]]


def enroll_confirm(connection: Connection, _: Hello, fields: list[str], until: float) -> Answer:
    """Fields: person, invitation, answer."""
    (row,) = connection.ask(ENROLL_CONFIRM.encode(), fields, until)
    return [row["confirmed"], row["reason"], *(row["recovery_codes"] or "").split()]


def info(connection: Connection, hello: Hello, fields: list[str], until: float) -> Answer:
    """No fields."""
    state = hello.state
    versions = [hello.schema_version, API, state.epoch, state.incarnation]
    about = [connection.place, f"{hello.clock_difference:.3f}", hello.may_enroll]
    return [hello.store, *versions, *about, connection.server_version]


def believed(state: str | None, hello: Hello) -> str:
    """A state as this host believes it: an older store may have forgotten who is enrolled, or
    remember a reset that was followed by an enrollment."""
    if not state:
        raise Unavailable("the store answers without a state")
    return state if state == "enrolled" or hello.is_believed else DISBELIEVED


# By verb: how many fields it has, None for any number up to MAX_PERSONS; whether it may wait for a
# store that could not be reached a moment ago; and what asks.
Ask = Callable[[Connection, Hello, list[str], float], Answer]
VERBS: dict[str, tuple[int | None, bool, Ask]] = {
    agent_line.CHECK: (CHECK_FIELDS, True, check),
    agent_line.CHECK_COUNTED: (CHECK_FIELDS + 1, True, check),
    agent_line.COUNT_SENT: (3, True, count_sent),
    agent_line.TAKE_BACK: (2, True, take_back),
    agent_line.STANDING: (1, False, standing),
    agent_line.STANDINGS: (None, False, standings),
    agent_line.ENROLL_BEGIN: (3, True, enroll_begin),
    agent_line.ENROLL_CONFIRM: (3, True, enroll_confirm),
    agent_line.INFO: (0, True, info),
}


def has_form(verb: str, fields: list[str]) -> bool:
    """Whether there is such a question."""
    if verb not in VERBS:
        return False
    count, _, _ = VERBS[verb]
    if count is None:
        return 0 < len(fields) <= MAX_PERSONS and all(fields)
    return len(fields) == count and (not count or bool(fields[0]))


def refusal(refused: Refused) -> list[str]:
    """What the store's own refusals are as a reason and a detail. Raises Unavailable for every
    other error of a database."""
    if refused.sqlstate not in SQLSTATES:
        raise Unavailable(explained(refused))
    return [*SQLSTATES[refused.sqlstate]]
