# SPDX-License-Identifier: MIT
"""What is asked of the store of a fleet about codes that this host has sent. It is told of none.

Every function raises Failure, as those of pam_totp.records.fleet.
"""

from pam_totp.records.fleet import ask, where_of
from pam_totp.records.host import agent
from pam_totp.rules import agent_line
from pam_totp.rules.agent_line import flag, number
from pam_totp.rules.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pam_totp.records.fleet import Form


class Counted(Record):
    """A try that is counted. ticket: by which it can be taken back; empty if no code may be
    compared, with a reason of the closed set in `refusal`; wait_seconds: until one may; enrolled:
    whether the store has a secret of the person."""

    ticket: str
    refusal: str
    wait_seconds: int
    enrolled: bool


def count(person: str, service: str, rhost: str) -> Counted:
    """Counts a try of a person, whom the store need not know."""
    form: Form = {"ticket": str, "refusal": str, "wait_seconds": number, "enrolled": flag}
    counted = ask(Counted, form, agent_line.COUNT_SENT, person, *where_of(service, rhost))
    if bool(counted.ticket) == bool(counted.refusal):
        raise agent.unreadable()
    return counted


def take_back(ticket: str, person: str) -> None:
    """Takes that try back, and no other, since the code was the one that was sent."""
    agent.ask(agent_line.TAKE_BACK, ticket, person)
