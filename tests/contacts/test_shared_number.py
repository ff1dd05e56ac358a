# SPDX-License-Identifier: MIT
"""A number is one user's, whichever way it comes in: else it is not known who got a code."""

import subprocess
from collections.abc import Callable

import pytest

from tests.commands.commands import Answer, pam_totp
from tests.commands.test_contact import CONTACTS, lines_of
from tests.host.accounts import User
from tests.sending.outbox import NUMBER, give_contact

Users = Callable[[], User]


def singly(*pairs: tuple[User, str]) -> Answer:
    """One command for each."""
    done = Answer(0, "", "")
    for user, number in pairs:
        done = pam_totp("contact", user.name, "--sms", number, "--unconfirmed")
    return done


def by_tables(*pairs: tuple[User, str]) -> Answer:
    """One after another."""
    done = Answer(0, "", "")
    for user, number in pairs:
        done = pam_totp("contact", "--from", "-", typed=f"{user.name},{number}\n")
    return done


def by_one_table(*pairs: tuple[User, str]) -> Answer:
    table = "".join(f"{user.name},{number}\n" for user, number in pairs)
    return pam_totp("contact", "--from", "-", typed=table)


WAYS = (singly, by_tables, by_one_table)


@pytest.mark.parametrize("way", WAYS)
def test_second_user_is_refused_by_the_name_of_the_first(
    make_user: Users, way: Callable[..., Answer]
) -> None:
    alice, bob = make_user(), make_user()
    answer = way((alice, NUMBER), (bob, "+49 (170) 1234567"))
    assert answer.code == 1
    assert NUMBER in answer.errors and alice.name in answer.errors
    assert "nothing was changed" in answer.errors
    assert lines_of(bob) == []


@pytest.mark.parametrize("way", WAYS)
def test_number_of_an_account_that_was_removed_is_free(
    make_user: Users, way: Callable[..., Answer]
) -> None:
    """Though its record is still there."""
    bob = make_user()
    gone = User("gone", "", 40404, 40404, bob.home)
    path = give_contact(gone, ("sms", NUMBER))
    try:
        assert way((bob, NUMBER)).code == 0
    finally:
        path.unlink()
    assert lines_of(bob) == [f"sms {NUMBER} 0"]


@pytest.mark.parametrize("way", WAYS)
def test_record_of_an_account_that_was_renamed_is_nobodys(
    make_user: Users, way: Callable[..., Answer]
) -> None:
    """It counts for its name alone, so the next user may have the number; and then the one who was
    renamed may not."""
    alice, bob = make_user(), make_user()
    give_contact(alice, ("sms", NUMBER))
    renamed = User(f"{alice.name}new", "", alice.uid, alice.gid, alice.home)
    subprocess.run(["usermod", "-l", renamed.name, alice.name], check=True)
    try:
        assert "no contacts" in pam_totp("contact", renamed.name).output
        assert way((bob, NUMBER)).code == 0
        answer = way((renamed, NUMBER))
        assert answer.code == 1 and f"{NUMBER} is a contact of {bob.name}" in answer.errors
        assert way((renamed, "+491709999999")).code == 0
    finally:
        subprocess.run(["usermod", "-l", alice.name, renamed.name], check=True)
    header = (CONTACTS / str(alice.uid)).read_text().splitlines()[0]
    assert header == f"pam-totp contacts 1 {renamed.name}"
    assert lines_of(bob) == [f"sms {NUMBER} 0"]
