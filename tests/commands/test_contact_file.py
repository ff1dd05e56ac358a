# SPDX-License-Identifier: MIT
"""`pam-totp contact --from`: the contacts of many users, all of a table or none."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import Answer, assert_refused, keys_not_in_manual, pam_totp
from tests.commands.test_contact import CONTACTS, lines_of
from tests.host.accounts import User
from tests.host.programs import STATE
from tests.sending.outbox import NUMBER, give_contact

Users = Callable[[], User]
OTHER = "+491709999999"


def from_text(text: str, *options: str, through: tuple[str, ...] = ()) -> Answer:
    return pam_totp("contact", "--from", "-", *options, typed=text, through=through)


@pytest.mark.parametrize(
    "table",
    [
        "{0},+49 170 1234567,\n{1},,bob@example.org\n",
        "user,sms,mail\n{0},+49 170 1234567,\n{1},,bob@example.org\n",
        "\ufeffE-Mail;User;Mobile\r\n;{0};+49 170 1234567\r\nbob@example.org;{1};\r\n",
        '# of the staff office\n\n"{0}","+491701234567",""\n{1},,bob@example.org\n',
    ],
)
def test_table_is_read_as_spreadsheets_write_it(make_user: Users, table: str) -> None:
    alice, bob = make_user(), make_user()
    done = from_text(table.format(alice.name, bob.name))
    assert (done.code, done.errors) == (0, "")
    assert done.output == "Users whose contacts are recorded: 2, changed: 2.\n"
    assert lines_of(alice) == [f"sms {NUMBER} 0"]
    assert lines_of(bob) == ["mail bob@example.org 0"]


def test_table_may_be_a_file(user: User, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(f"{user.name},{NUMBER},a@example.org\n")
    done = pam_totp("contact", "--from", str(path), "--json")
    found = json.loads(done.output)
    assert keys_not_in_manual("contact", done.output) == set()
    assert found["changed"] is True
    assert found["users"] == [
        {
            "user": user.name,
            "contacts": [
                {"kind": "sms", "address": NUMBER, "confirmed": None},
                {"kind": "mail", "address": "a@example.org", "confirmed": None},
            ],
        }
    ]
    assert json.loads(pam_totp("contact", "--from", str(path), "--json").output)["changed"] is False


def test_what_the_table_does_not_say_stays(user: User) -> None:
    give_contact(user, ("sms", NUMBER), ("mail", "a@example.org"), confirmed=77)
    from_text(f"{user.name},{NUMBER},\n")
    assert lines_of(user) == [f"sms {NUMBER} 77", "mail a@example.org 77"]
    from_text(f"{user.name},{OTHER},\n")
    assert lines_of(user) == [f"sms {OTHER} 0", "mail a@example.org 77"]


def test_two_users_may_exchange_their_numbers(make_user: Users) -> None:
    alice, bob = make_user(), make_user()
    give_contact(alice, ("sms", NUMBER))
    give_contact(bob, ("sms", OTHER))
    assert from_text(f"{alice.name},{OTHER}\n{bob.name},{NUMBER}\n").code == 0
    assert (lines_of(alice), lines_of(bob)) == ([f"sms {OTHER} 0"], [f"sms {NUMBER} 0"])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{1},0170 1234567,", "the number must begin with + and the code of its country"),
        ("{1},00491709999999,", "the number must begin with +; did you mean +491709999999?"),
        ("{1},,alice", "a mail address must have one @"),
        ("{1},,", "there is no number and no mail address"),
        (",+491709999999,", "there is no user"),
        ("{1}x,+491709999999,", "there is no user '{1}x'; did you mean {1}?"),
        ("{1},+491701234567,", "+491701234567 is for {0} on line 1 already"),
        ("{0},+491709999999,", "{0} is on line 1 already"),
        ("{1},,third@example.org", "third@example.org is a contact of {2}"),
        ("{1},+491709999999,,more", "the line has 4 columns in place of 3"),
        ('{1},"+491709999999', "a quotation mark is not closed"),
    ],
)
def test_of_a_table_with_a_fault_nothing_is_recorded_and_its_line_is_named(
    make_user: Users, line: str, fault: str
) -> None:
    alice, bob, third = make_user(), make_user(), make_user()
    give_contact(third, ("mail", "Third@example.org"))
    names = alice.name, bob.name, third.name
    answer = from_text(f"{alice.name},{NUMBER},\n\n{line.format(*names)}\n")
    told, error, hint = answer.errors.splitlines()
    assert (answer.code, answer.output) == (1, "")
    assert told.startswith(f"standard input: line 3: {fault.format(*names)}")
    assert error.endswith("lines of standard input that cannot be used: 1; nothing was changed")
    assert hint == "hint: correct the file, and run the command again"
    assert (lines_of(alice), lines_of(bob)) == ([], [])


def test_every_fault_is_told(user: User) -> None:
    answer = from_text("a,1,\nb,2,\n" + f"{user.name},{NUMBER},\n" + "c,3,\n")
    lines = [line.split(": ")[1] for line in answer.errors.splitlines()[:-2]]
    assert lines == ["line 1", "line 2", "line 4"]


def test_what_one_user_keeps_is_not_given_to_another(make_user: Users) -> None:
    """Though both are in the table."""
    alice, bob = make_user(), make_user()
    give_contact(alice, ("mail", "a@example.org"))
    answer = from_text(f"{alice.name},{NUMBER},\n{bob.name},,a@example.org\n")
    assert f"line 2: a@example.org is a contact of {alice.name}\n" in answer.errors
    assert lines_of(bob) == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "the file is empty"),
        ("sms,mail\n+491701234567,\n", "line 1: the header must have the user"),
        ("user,sms,mobile\n", "line 1: two columns are the sms"),
    ],
)
def test_what_is_no_table_is_refused(content: str, fault: str) -> None:
    assert_refused(from_text(content), f"standard input: {fault}; nothing was changed")


def test_file_that_is_not_there_is_an_error() -> None:
    assert_refused(pam_totp("contact", "--from", "/nowhere"), "/nowhere: No such file")


def test_interrupted_command_says_how_far_it_came_and_goes_on_if_it_is_run_again(
    make_user: Users,
) -> None:
    users = [make_user() for _ in range(3)]
    table = "".join(f"{user.name},,{user.name}@example.org\n" for user in users)
    inject = f"inject=renameat:signal={signal.SIGINT.name}:when=2"
    through = ("strace", "-o", "/dev/null", "-e", "trace=renameat", "-e", inject)
    answer = from_text(table, through=through)
    assert_refused(answer, "interrupted; the contacts of 2 users are recorded, and the others are")
    assert [bool(lines_of(user)) for user in users] == [True, True, False]
    done = from_text(table)
    assert done.output == "Users whose contacts are recorded: 3, changed: 1.\n"


def test_disk_that_fails_in_between_is_told_with_what_was_done(make_user: Users) -> None:
    users = [make_user() for _ in range(2)]
    table = "".join(f"{user.name},,{user.name}@example.org\n" for user in users)
    inject = "inject=renameat:error=ENOSPC:when=2"
    through = ("strace", "-o", "/dev/null", "-e", "trace=renameat", "-e", inject)
    answer = from_text(table, through=through)
    assert_refused(answer, "No space left on device; the contacts of 1 user are recorded")
    assert answer.errors.endswith(f"hint: df -h {STATE}/contacts\n")
    assert [bool(lines_of(user)) for user in users] == [True, False]
    assert not list(CONTACTS.glob("*.new-*"))
