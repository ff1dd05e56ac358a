# SPDX-License-Identifier: MIT
"""Enrolling in a fleet: an invitation on a database server, a phone at any login host."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import (
    RECOVERY_CODE,
    assert_refused,
    configured,
    gate,
    keys_not_in_manual,
    pam_totp,
    verify,
)
from tests.enrollment.person import (
    CODE_PROMPT,
    CTRL_C,
    PASSWORD_PROMPT,
    URI,
    Finished,
    Person,
    Phone,
    run,
)
from tests.fleet.small_fleet import SmallFleet
from tests.host.accounts import User
from tests.host.programs import ACCEPTED, ASK, REFUSED

INVITATION = re.compile(r"^\S+: ((?:[a-z2-7]{4}-){3}[a-z2-7]{4})$", re.MULTILINE)
PROMPT = "Invitation: "
NO_SUCH = "the invitation is unknown, already used or expired"
ROOT = User("root", "", 0, 0, Path("/root"))


def invite(user: User | str, *options: str) -> str:
    """By root on the database server; the invitation."""
    name = user if isinstance(user, str) else user.name
    answer = pam_totp("invite", name, *options)
    assert (answer.code, answer.errors) == (0, "")
    (found,) = INVITATION.findall(answer.output)
    return str(found)


def begin(user: User, invitation: str, *options: str) -> tuple[Person, Phone]:
    """Up to the question for a code, by the user at a terminal, with a phone at hand."""
    person = Person(user, "enroll", *options)
    person.answer(PROMPT, invitation)
    return person, person.scan()


def enroll(user: User, invitation: str, *options: str) -> tuple[Phone, Finished]:
    person, phone = begin(user, invitation, *options)
    person.type_line(phone.code())
    return phone, person.finish()


def enroll_again(user: User) -> tuple[Person, Phone]:
    """Another phone for somebody who is enrolled, up to the question for a code."""
    person = Person(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    person.answer(PROMPT, invite(user))
    return person, person.scan()


def test_an_invited_user_enrolls_and_logs_in(fleet: SmallFleet, user: User) -> None:
    phone, done = enroll(user, invite(user))
    assert done.status == 0, done.output
    assert len(RECOVERY_CODE.findall(done.output)) == 10
    assert gate(user).code == ASK
    assert verify(user, phone.code(1)).code == ACCEPTED
    assert fleet.state_of(user) == "enrolled"
    assert not (user.home / ".config" / "pam-totp").exists()


def test_the_app_shows_the_user_and_no_host(fleet: SmallFleet, user: User) -> None:
    person, phone = begin(user, invite(user))
    (uri,) = URI.findall(person.shown)
    person.type_line(phone.code())
    assert person.finish().status == 0
    assert f":{user.name}?".encode() in uri and b"%40" not in uri


def test_the_code_that_proved_the_phone_is_used_up(fleet: SmallFleet, user: User) -> None:
    person, phone = begin(user, invite(user))
    code = phone.code()
    person.type_line(code)
    assert "That code is used up" in person.finish().output
    assert verify(user, code).code == REFUSED


def misread(text: str) -> str:
    return text.replace("-", "").replace("o", "0").replace("l", "1").replace("b", "8")


@pytest.mark.parametrize("typed", [str.upper, lambda text: text.replace("-", "  "), misread])
def test_an_invitation_is_read_forgivingly(
    fleet: SmallFleet, user: User, typed: Callable[[str], str]
) -> None:
    _, done = enroll(user, typed(invite(user)))
    assert done.status == 0, done.output


def test_what_is_no_invitation_is_asked_again_and_then_refused(
    fleet: SmallFleet, user: User
) -> None:
    done = run(user, "enroll", typed="abcd-efgh\n123456\n\n")
    assert done.output.count("An invitation is 16 letters and digits") == 3
    assert done.error == "no invitation was entered; nothing was changed"
    assert f"pam-totp invite {user.name}" in done.errors


def test_a_recovery_code_of_the_enrollment_is_accepted_once(fleet: SmallFleet, user: User) -> None:
    _, done = enroll(user, invite(user))
    code = RECOVERY_CODE.findall(done.output)[0]
    assert verify(user, code).code == ACCEPTED
    assert verify(user, code).code == REFUSED


def refused(user: User, invitation: str) -> None:
    done = run(user, "enroll", typed=f"{invitation}\n")
    assert done.error == f"the store refused: {NO_SUCH}; nothing was changed"
    assert f"pam-totp invite {user.name}" in done.errors


def test_a_used_invitation_is_refused(fleet: SmallFleet, user: User) -> None:
    invitation = invite(user)
    enroll(user, invitation)
    done = run(user, "enroll", typed=f"{user.password}\n{invitation}\n")
    assert done.error == f"the store refused: {NO_SUCH}; nothing was changed"


def test_an_expired_invitation_is_refused(fleet: SmallFleet, user: User) -> None:
    invitation = invite(user, "--for", "1h")
    fleet.shift_clock(3601)
    refused(user, invitation)


def test_an_invitation_of_another_user_is_refused(
    fleet: SmallFleet, user: User, make_user: Callable[..., User]
) -> None:
    other = make_user()
    invitation = invite(other)
    invite(user)
    refused(user, invitation)
    fleet.forget(other)


def test_a_new_invitation_replaces_the_old_one_and_says_so(fleet: SmallFleet, user: User) -> None:
    old = invite(user)
    answer = pam_totp("invite", user.name)
    assert "The earlier invitation is no longer valid." in answer.output
    refused(user, old)
    (new,) = INVITATION.findall(answer.output)
    assert enroll(user, new)[1].status == 0


def test_the_old_phone_works_until_the_new_one_is_confirmed(fleet: SmallFleet, user: User) -> None:
    old, _ = enroll(user, invite(user))
    person, _ = enroll_again(user)
    person.press(CTRL_C)
    done = person.finish()
    assert done.status == 1
    assert "Delete the entry that you just scanned from the app. The old one still works." in (
        " ".join(done.output.split())
    )
    assert verify(user, old.code(1)).code == ACCEPTED


def test_the_new_phone_replaces_the_old_one(fleet: SmallFleet, user: User) -> None:
    old, first = enroll(user, invite(user))
    person, new = enroll_again(user)
    assert "already enrolled. This will replace the existing secret in the fleet." in (
        " ".join(person.shown.decode().split())
    )
    assert new.account != old.account
    person.type_line(new.code())
    second = person.finish()
    assert second.status == 0
    assert verify(user, old.code(1)).code == REFUSED
    assert verify(user, RECOVERY_CODE.findall(first.output)[0]).code == REFUSED
    assert verify(user, new.code(1)).code == ACCEPTED


def test_who_does_not_know_the_password_replaces_nothing(fleet: SmallFleet, user: User) -> None:
    old, _ = enroll(user, invite(user))
    done = run(user, "enroll", typed="wrong\n" * 3)
    assert done.error == "the password was not accepted; nothing was changed"
    assert verify(user, old.code(1)).code == ACCEPTED


def test_an_incorrect_code_says_what_may_help_and_asks_again(fleet: SmallFleet, user: User) -> None:
    person, phone = begin(user, invite(user))
    person.type_line(phone.incorrect_code())
    person.read_until("The store's clock says")
    person.answer(CODE_PROMPT, "12")
    person.read_until("A code is 6 digits.")
    person.answer(CODE_PROMPT, phone.code())
    assert person.finish().status == 0


def test_a_phone_whose_clock_is_off_is_told_by_how_much(fleet: SmallFleet, user: User) -> None:
    person, phone = begin(user, invite(user))
    person.type_line(phone.code_of_another_time(120))
    person.read_until("ahead of the store's")
    person.press(CTRL_C)
    person.finish()


def test_the_clock_that_counts_is_the_stores(fleet: SmallFleet, user: User) -> None:
    """A phone that agrees with a host whose clock is off by an hour is told so."""
    with fleet.clock_ahead(3600):
        person, phone = begin(user, invite(user))
        person.type_line(phone.code_of_another_time(-120, here=120))
        person.answer(CODE_PROMPT, phone.code(120))
        finished = person.finish()
    assert finished.status == 0
    assert re.search(r"1 h( 30 s)?\sbehind the store's", finished.output)


def test_a_command_that_is_killed_leaves_the_old_phone_and_the_invitation(
    fleet: SmallFleet, user: User
) -> None:
    old, _ = enroll(user, invite(user))
    invitation = invite(user)
    person = Person(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    person.answer(PROMPT, invitation)
    person.scan()
    assert person.pid is not None
    os.kill(person.pid, signal.SIGKILL)
    person.finish()
    assert verify(user, old.code(1)).code == ACCEPTED
    person = Person(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    person.answer(PROMPT, invitation)
    new = person.scan()
    person.type_line(new.code())
    assert person.finish().status == 0


def test_of_two_hosts_at_once_the_later_one_enrolls(fleet: SmallFleet, user: User) -> None:
    invitation = invite(user)
    person, phone = begin(user, invitation)
    typed = invitation.replace("-", "")
    begun = "SELECT secret FROM totp_api_1.enroll_begin(%s, %s, 'phone')"
    fleet.connect("web08").execute(begun, [user.name, typed])
    person.type_line(phone.code())
    done = person.finish()
    assert done.status == 1
    assert "the new secret is no longer valid" in " ".join(done.output.split())
    assert fleet.state_of(user) == "not-enrolled"


def test_a_store_that_is_away_is_two_lines(fleet: SmallFleet, user: User) -> None:
    with fleet.away():
        done = run(user, "enroll", typed="")
    assert done.error.startswith("the store cannot be asked: /run/pam-totp-enroll.sock: ")
    assert done.error.endswith("; nothing was changed")


def test_a_store_that_goes_away_before_the_code_is_not_guessed_about(
    fleet: SmallFleet, user: User
) -> None:
    person, phone = begin(user, invite(user))
    with fleet.away():
        person.type_line(phone.code())
        done = person.finish()
    assert done.status == 1
    said = " ".join(done.output.split())
    assert "it is not known whether the new secret is active" in said
    assert "Delete the entry" not in said


def test_root_enrolls_a_user_with_an_invitation(fleet: SmallFleet, user: User) -> None:
    invitation = invite(user)
    person = Person(ROOT, "enroll", "--user", user.name)
    person.answer(PROMPT, invitation)
    phone = person.scan()
    person.type_line(phone.code())
    assert person.finish().status == 0
    assert verify(user, phone.code(1)).code == ACCEPTED


def test_a_marked_host_enrolls_without_an_invitation(fleet: SmallFleet, user: User) -> None:
    with fleet.enrolling_without_invitation():
        person = Person(user, "enroll")
        phone = person.scan()
        assert PROMPT.encode() not in person.shown
        person.type_line(phone.code())
        assert person.finish().status == 0
    assert fleet.state_of(user) == "enrolled"


def test_a_picture_is_removed_unless_the_store_confirms(fleet: SmallFleet, user: User) -> None:
    picture = user.home / "code.png"
    person = Person(user, "enroll", "--png", str(picture))
    person.answer(PROMPT, invite(user))
    person.read_until(CODE_PROMPT)
    assert picture.stat().st_mode & 0o777 == 0o600
    assert not URI.findall(person.shown)
    person.press(CTRL_C)
    person.finish()
    assert not picture.exists()


@pytest.mark.parametrize(
    "options",
    [
        *(["--device", "tablet"], ["--digits", "8"], ["--period", "60"], ["--token"]),
        *(["--algorithm", "SHA256"], ["--no-recovery-codes"]),
    ],
)
def test_what_the_store_decides_is_no_option(
    fleet: SmallFleet, user: User, options: list[str]
) -> None:
    answer = pam_totp("enroll", *options, user=user)
    assert answer.code == 2
    assert f"{options[0]} cannot be used here" in answer.errors


def test_many_users_at_once_are_invited(fleet: SmallFleet, user: User) -> None:
    answer = pam_totp("enroll", "--users", "-", "--sheets", "/root/sheets", typed=user.name)
    assert_refused(answer, "many users at once cannot be enrolled at a login host")
    assert not Path("/root/sheets").exists()


def test_invitations_of_many_users_are_printed_with_the_command(fleet: SmallFleet) -> None:
    answer = pam_totp("invite", "inge", "jan", "inge", "--for", "2h", "--json")
    assert not keys_not_in_manual("invite", answer.output)
    found = json.loads(answer.output)
    assert [each["user"] for each in found["invitations"]] == ["inge", "jan"]
    assert found["changed"] is True
    for each in found["invitations"]:
        assert 7100 < each["until"] - time.time() < 7300
        assert not each["replaced"] and not each["enrolled"]
    text = pam_totp("invite", "inge").output
    assert "The earlier invitation is no longer valid." in text
    assert text.endswith("pam-totp enroll\n")
    for name in ("inge", "jan"):
        fleet.forget(name)


@pytest.mark.parametrize(
    "name",
    ["", "-x", " a", "a ", "a\u00a0b", "a:b", "a/b", "..", "a\tb", "x" * 256, "\x1b[2J"],
)
def test_a_name_that_no_host_can_have_is_not_invited(fleet: SmallFleet, name: str) -> None:
    answer = pam_totp("invite", "klaus", "--", name)
    assert answer.code in (1, 2)
    assert "cannot be the name of a user" in answer.errors
    assert fleet.state_of("klaus") == ""


@pytest.mark.parametrize("name", ["alice@example.org", "EXAMPLE\\bob ray", "jürgen", "a.b-c_d$"])
def test_names_of_directories_are_invited(fleet: SmallFleet, name: str) -> None:
    assert pam_totp("invite", name).code == 0
    assert fleet.state_of(name) == "not-enrolled"
    fleet.forget(name)


@pytest.mark.parametrize("required", [True, False])
def test_who_has_to_enroll_is_told_to_ask_for_an_invitation(
    fleet: SmallFleet, user: User, required: bool
) -> None:
    """Nobody who is refused could run `pam-totp enroll`."""
    year = int(time.strftime("%Y")) + 1
    mode = "required" if required else f"{{by: {year}-12-31}}"
    with configured(f"store: postgresql\nenrollment: {mode}\n"):
        said = gate(user).output
    assert "sk your administrator for an invitation" in said
    with configured(f"store: user\nenrollment: {mode}\n"):
        assert "invitation" not in gate(user).output


def test_a_message_of_the_administrators_stays_as_it_is(fleet: SmallFleet, user: User) -> None:
    text = "store: postgresql\nenrollment: required\nmessages:\n  not_enrolled: Ask Eve.\n"
    with configured(text):
        assert "Ask Eve." in gate(user).output


def test_a_code_of_who_has_not_enrolled_is_refused_with_the_same_words(
    fleet: SmallFleet, user: User
) -> None:
    answer = verify(user, "123456")
    assert answer.code == REFUSED
    assert "Ask your administrator for an invitation." in answer.output
