# SPDX-License-Identifier: MIT
"""`pam-totp enable` at a login host of a fleet: the proof is a code that the store accepts."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.commands.commands import pam_totp
from tests.fleet.database import Person
from tests.fleet.small_fleet import SmallFleet
from tests.host.accounts import User
from tests.setup.test_enable_sshd import CHANGE, CODE, KEEP, PASSWORD, Sitting, log_in
from tests.trial.change_host import ChangeHost, state

Sit = Callable[..., Sitting]


@pytest.fixture
def sit(change_host: ChangeHost, user: User) -> Iterator[Sit]:
    """The user in an ssh session, who runs a command with sudo."""
    user.may_sudo()
    key = user.new_ssh_key()
    sessions: list[Sitting] = []

    def begin(command: str) -> Sitting:
        sessions.append(Sitting(change_host, user.name, key, f"sudo {command}"))
        sessions[-1].answer(r"\[sudo\] password for \w+: ", user.password)
        return sessions[-1]

    yield begin
    for session in sessions:
        session.child.close(force=True)


@pytest.fixture
def phone(fleet: SmallFleet, user: User) -> Person:
    return fleet.person(user.name)


def test_enable_is_tried_and_kept_with_codes_of_the_fleet(
    change_host: ChangeHost, sit: Sit, fleet: SmallFleet, phone: Person, user: User
) -> None:
    before = state()
    here = sit("pam-totp enable sshd")
    here.expect("It is used up in the whole fleet")
    now = time.time()
    here.answer(CODE, phone.code(now))
    here.answer(CHANGE, "y")
    here.expect("Attempts, from")
    dialogue = [(PASSWORD, user.password), (CODE, phone.code(now)), (CODE, phone.code(now, 1))]
    assert log_in(change_host, user.name, dialogue) == 0
    here.answer(KEEP, "y")
    code, shown = here.end()
    assert code == 0, shown
    fleet.shift_clock(90)
    dialogue = [(PASSWORD, user.password), (CODE, phone.code(time.time() + 90))]
    assert log_in(change_host, user.name, dialogue) == 0
    assert pam_totp("disable", "sshd", "--yes").code == 0
    assert state() == before


def test_a_trial_is_kept_from_another_session(
    change_host: ChangeHost, sit: Sit, phone: Person, user: User
) -> None:
    here = sit("pam-totp enable sshd")
    here.answer(CODE, phone.code(time.time()))
    here.answer(CHANGE, "y")
    here.expect("Attempts, from")
    assert pam_totp("confirm").code == 0
    assert here.end()[0] == 0
    assert pam_totp("disable", "sshd", "--yes").code == 0


def test_an_incorrect_code_changes_nothing(sit: Sit, phone: Person) -> None:
    before = state()
    here = sit("pam-totp enable sshd")
    for _ in range(3):
        here.answer(CODE, phone.incorrect_code(time.time()))
    code, shown = here.end()
    assert (code, state()) == (1, before)
    assert "refused (wrong-code); nothing was changed" in shown


def test_whoever_has_not_enrolled_in_the_fleet_needs_force(
    sit: Sit, fleet: SmallFleet, user: User
) -> None:
    before = state()
    code, shown = sit("pam-totp enable sshd").end()
    assert (code, state()) == (1, before)
    assert f"{user.name} is not enrolled; nothing was changed" in shown


def test_without_the_store_nothing_is_proved_and_nothing_changed(
    sit: Sit, fleet: SmallFleet
) -> None:
    before = state()
    with fleet.away():
        code, shown = sit("pam-totp enable sshd").end()
    assert (code, state()) == (1, before)
    assert "the store cannot be asked" in shown
