# SPDX-License-Identifier: MIT
"""What commands ask the store of a fleet, and no login does: about many users, and itself.

Every function raises Failure, as those of pam_totp.records.fleet.
"""

from pam_totp.records.fleet import ask, read, state_of
from pam_totp.records.host import agent
from pam_totp.rules import agent_line
from pam_totp.rules.agent_line import flag, number
from pam_totp.rules.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pam_totp.records.fleet import Form


class PersonStanding(Record):
    """Of one of several persons. devices, recovery_left: how many the person has."""

    person: str
    state: str
    wait_seconds: int
    devices: int
    recovery_left: int


class Info(Record):
    """Of the store. schema_version, api: of its tables and of its functions; epoch, incarnation:
    which server writes; server: HOST:PORT; clock_difference: how many seconds the store's clock is
    ahead of this host's; may_enroll: as in Standing; release: of the database."""

    store: str
    schema_version: int
    api: int
    epoch: int
    incarnation: str
    server: str
    clock_difference: float
    may_enroll: bool
    release: str


def standings(persons: list[str]) -> list[PersonStanding]:
    """Of each person, in this order: at most agent_line.MAX_PERSONS."""
    fields = agent.ask(agent_line.STANDINGS, *persons) if persons else []
    if len(fields) != 4 * len(persons):
        raise agent.unreadable()
    form: Form = {"person": str, "state": state_of, "wait_seconds": number}
    form |= {"devices": number, "recovery_left": number}
    return [
        read(PersonStanding, form, [person, *fields[4 * at : 4 * at + 4]])
        for at, person in enumerate(persons)
    ]


def info() -> Info:
    """Of the store, and of the server that answers."""
    form: Form = {"store": str, "schema_version": int, "api": int, "epoch": int}
    form |= {"incarnation": str, "server": str, "clock_difference": float}
    form |= {"may_enroll": flag, "release": str}
    return ask(Info, form, agent_line.INFO)
