# SPDX-License-Identifier: MIT
"""What the store of a fleet says of one user and of a code (pam_totp.records.host.agent).

- An answer MUST have this form, field by field; anything else is no answer.

Every function raises Failure: with a reason of the closed set where the store refuses, and with
store-unavailable where it did not answer.
"""

from pam_totp.records.host import agent
from pam_totp.rules import agent_line, reasons
from pam_totp.rules.agent_line import flag, number
from pam_totp.rules.record import Record

# The state of a person in the store. RESET: an administrator took the credentials away, so what
# this host remembers of the person's codes no longer counts; DISBELIEVED: the store says "not
# enrolled", and is older than one that this host has seen.
ENROLLED, NOT_ENROLLED = "enrolled", "not-enrolled"
RESET, DISBELIEVED = "reset", "disbelieved"
STATES = (ENROLLED, NOT_ENROLLED, RESET, DISBELIEVED)
ACCEPTED = (reasons.TOTP, reasons.RECOVERY_CODE)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Answer = TypeVar("Answer")
    Form = dict[str, Callable[[str], object]]


class Standing(Record):
    """Of one person. state: of STATES; wait_seconds: until the next code is looked at; may_enroll:
    whether users who have not enrolled need no invitation at this host."""

    state: str
    wait_seconds: int
    may_enroll: bool


class Checked(Record):
    """What the store says of a code. reason: of the closed set; device: whose code it is, if any;
    wait_seconds: until the next code is looked at; recovery_left: how many recovery codes the
    person has, once one was accepted; detail: for the log."""

    accepted: bool
    reason: str
    device: str
    wait_seconds: int
    recovery_left: int
    detail: str


class NewSecret(Record):
    """A secret that the store has made, and that a code has to confirm. secret: in base32;
    algorithm: SHA1, SHA256 or SHA512; replaces: whether the person has a confirmed one."""

    secret: str
    algorithm: str
    digits: int
    period: int
    replaces: bool

    def chosen(self) -> dict[str, str]:
        """As the settings have it, and `secret`: what the URI for an app is made of."""
        chosen = {"secret": self.secret, "code.algorithm": self.algorithm}
        return chosen | {"code.digits": str(self.digits), "code.period": str(self.period)}


class Confirmed(Record):
    """What became of the code for a new secret. reason: of the closed set; recovery_codes: as they
    are hashed, 16 characters each. The store does not say them again."""

    confirmed: bool
    reason: str
    recovery_codes: list[str]


def standing(person: str) -> Standing:
    """Whether a person is enrolled, and has to wait."""
    form: Form = {"state": state_of, "wait_seconds": number, "may_enroll": flag}
    return ask(Standing, form, agent_line.STANDING, person)


def check(person: str, answer: str, service: str, rhost: str, *counted: str) -> Checked:
    """The verdict on a code or a recovery code, as pam_totp.rules.typed_code.read_code has it. It
    counts as a try, in place of that of the ticket `counted`, and a code that is accepted is used
    up for all hosts."""
    form: Form = {"accepted": flag, "reason": str, "device": str}
    form |= {"wait_seconds": number, "recovery_left": number, "detail": str}
    verb = agent_line.CHECK_COUNTED if counted else agent_line.CHECK
    checked = ask(Checked, form, verb, person, answer, *where_of(service, rhost), *counted)
    if checked.accepted != (checked.reason in ACCEPTED):
        raise agent.unreadable()
    return checked


def take_early_check(name: str, answer: str, service: str, rhost: str) -> None:
    """The launcher may have asked `check` of this already, of the person by the name of the login.
    Raises ValueError or OSError."""
    agent.take_early_call(agent_line.CHECK, name, answer, *where_of(service, rhost))


def where_of(service: str, rhost: str) -> tuple[str, str]:
    """Both as they fit into a line."""
    return agent_line.plain(service, 64), agent_line.plain(rhost, 255)


def enroll_begin(person: str, invitation: str, device: str) -> NewSecret:
    """A new secret for a person with an invitation; with an empty one only where people may enroll
    at a login of this host."""
    form: Form = {"secret": str, "algorithm": str, "digits": int, "period": int, "replaces": flag}
    return ask(NewSecret, form, agent_line.ENROLL_BEGIN, person, invitation, device)


def enroll_confirm(person: str, invitation: str, answer: str) -> Confirmed:
    """Confirms the new secret by a code of it, which is used up for all hosts."""
    fields = agent.ask(agent_line.ENROLL_CONFIRM, person, invitation, answer)
    form: Form = {"confirmed": flag, "reason": str, "recovery_codes": str.split}
    return read(Confirmed, form, [*fields[:2], " ".join(fields[2:])])


def state_of(field: str) -> str:
    if field not in STATES:
        raise ValueError("no state")
    return field


def ask(kind: "Callable[..., Answer]", form: "Form", verb: str, *fields: str) -> "Answer":
    return read(kind, form, agent.ask(verb, *fields))


def read(kind: "Callable[..., Answer]", form: "Form", fields: list[str]) -> "Answer":
    """The fields of an answer as its form has them. Raises Failure."""
    try:
        if len(fields) == len(form):
            read = zip(form.items(), fields)  # noqa: B905 - as many
            return kind(**{name: convert(field) for (name, convert), field in read})
    except ValueError:
        pass
    raise agent.unreadable()
