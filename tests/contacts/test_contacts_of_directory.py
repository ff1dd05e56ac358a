# SPDX-License-Identifier: MIT
"""`pam-totp contact --from-directory`: what a real slapd has of users, through the real SSSD."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.commands import Answer, assert_refused, keys_not_in_manual, pam_totp
from tests.commands.test_contact import CONTACTS, lines_of
from tests.contacts.directory_server import DirectoryServer, directory
from tests.host.accounts import User
from tests.sending.outbox import NUMBER, give_contact

OTHER = "+491709999999"
COPY = "--from-directory"


@pytest.fixture(scope="module")
def server() -> Iterator[DirectoryServer]:
    with directory() as running:
        yield running


@pytest.fixture(autouse=True)
def no_contacts() -> Iterator[None]:
    yield
    shutil.rmtree(CONTACTS, ignore_errors=True)


def copy(*users: User) -> Answer:
    """Of these."""
    if len(users) == 1:
        return pam_totp("contact", users[0].name, COPY)
    names = "".join(f"{user.name}\n" for user in users)
    return pam_totp("contact", COPY, "--users", "-", typed=names)


def test_number_and_address_of_a_user_are_copied_and_not_confirmed(
    server: DirectoryServer,
) -> None:
    dora = server.person(mobile=("+49 170/123-45 67",), mail=("Dora@Example.org",))
    done = copy(dora)
    assert (done.code, done.errors) == (0, "")
    assert done.output == (
        f"{dora.name}: codes can be sent to\n"
        f"  sms: {NUMBER} (unconfirmed: used only where a code is required)\n"
        "  mail: Dora@example.org (unconfirmed: used only where a code is required)\n"
    )
    assert lines_of(dora) == [f"sms {NUMBER} 0", "mail Dora@example.org 0"]


def test_members_of_a_group_of_the_directory_are_copied(server: DirectoryServer) -> None:
    dora = server.person(mobile=(NUMBER,), mail=("d@example.org",))
    erik = server.person(mobile=(OTHER,))
    server.group("sales", dora, erik)
    done = pam_totp("contact", COPY, "--group", "sales", "--only", "sms", "--json")
    assert keys_not_in_manual("contact", done.output) == set()
    found = json.loads(done.output)
    assert (done.code, found["changed"], len(found["users"])) == (0, True, 2)
    assert (lines_of(dora), lines_of(erik)) == ([f"sms {NUMBER} 0"], [f"sms {OTHER} 0"])


def test_a_later_change_in_the_directory_changes_nothing_until_it_is_copied(
    server: DirectoryServer,
) -> None:
    dora = server.person(mobile=(NUMBER,))
    copy(dora)
    give_contact(dora, ("sms", NUMBER), confirmed=77)
    assert copy(dora).code == 0
    assert lines_of(dora) == [f"sms {NUMBER} 77"]
    server.replace(dora, "mobile", OTHER)
    assert lines_of(dora) == [f"sms {NUMBER} 77"]
    assert copy(dora).code == 0
    assert lines_of(dora) == [f"sms {OTHER} 0"]


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({}, "the directory tells no mobile and no mail"),
        ({"mobile": (" ",)}, "the directory tells no mobile and no mail"),
        (
            {"mobile": ("0170 1234567",)},
            "mobile: the number must begin with + and the code of its country (got '0170 1234567')",
        ),
        (
            {"mobile": ("0049 170 9999999",)},
            f"mobile: the number must begin with + (got '0049 170 9999999'); did you mean {OTHER}?",
        ),
        (
            {"mobile": (OTHER, "+49 170 8888888")},
            "mobile: there are 2 values, and which one is meant is unknown",
        ),
        (
            {"mobile": ("none",), "mail": ("dora",)},
            "mobile: the number must be + and digits (got 'none'); "
            "mail: a mail address must have one @ (got 'dora')",
        ),
        ({"mail": ("d@example.org\n\x1b[2J\x00",)}, "(got 'd@example.org\\n\\x1b[2J"),
        ({"mail": ("d" * 3_000_000 + "@example.org",)}, "the value has more than 1000 characters"),
        ({"mail": ("d" * 900 + "@example.org",)}, "(got '" + "d" * 40 + "\\u2026')"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_of_users_of_whom_one_cannot_be_used_none_is_copied_and_each_fault_is_told(
    server: DirectoryServer, attributes: dict[str, Any], fault: str
) -> None:
    dora, erik = server.person(mobile=(NUMBER,)), server.person(**attributes)
    answer = copy(dora, erik)
    told, error, hint = answer.errors.splitlines()
    assert (answer.code, answer.output) == (1, "")
    assert told.startswith(f"{erik.name}: ") and fault in told
    assert error.endswith("has nothing that can be used: 1; nothing was changed")
    assert hint == "hint: correct the directory, or name the other users with --users FILE"
    assert (lines_of(dora), lines_of(erik)) == ([], [])


def test_two_spellings_of_one_number_are_one(server: DirectoryServer) -> None:
    dora = server.person(mobile=("+49 170 1234567", "+49 (170) 1234567"))
    assert copy(dora).code == 0
    assert lines_of(dora) == [f"sms {NUMBER} 0"]


def test_hint_about_one_user_sets_what_the_directory_does_not_have(
    server: DirectoryServer,
) -> None:
    dora = server.person(mail=("dora",))
    answer = copy(dora)
    assert answer.errors.endswith(f"hint: pam-totp contact {dora.name} --sms NUMBER\n")
    assert (answer.code, lines_of(dora)) == (1, [])
    answer = pam_totp("contact", dora.name, COPY, "--only", "mail")
    assert answer.errors.endswith(f"hint: pam-totp contact {dora.name} --mail ADDRESS\n")


def test_two_users_with_one_number_are_refused_by_the_name_of_the_other(
    server: DirectoryServer, user: User
) -> None:
    dora, erik = server.person(mobile=(NUMBER,)), server.person(mobile=("+49 170 1234567",))
    answer = copy(dora, erik)
    assert answer.errors.startswith(f"{erik.name}: {NUMBER} is for {dora.name} already\n")
    assert copy(dora).code == 0
    assert copy(erik).errors.startswith(f"{erik.name}: {NUMBER} is a contact of {dora.name}\n")
    table = f"{user.name},{NUMBER}\n"
    answer = pam_totp("contact", "--from", "-", typed=table)
    assert f"line 1: {NUMBER} is a contact of {dora.name}\n" in answer.errors
    assert (lines_of(erik), lines_of(user)) == ([], [])


def test_local_user_gets_nothing_of_another_account_of_that_name(
    server: DirectoryServer, make_user: Callable[[], User]
) -> None:
    user, nobody = make_user(), make_user()
    answer = copy(nobody)
    assert answer.errors.startswith(f"{nobody.name}: the directory does not know the user\n")
    other = server.person(name=user.name, mobile=(NUMBER,))
    answer = copy(user)
    fault = f"in the directory it is another account (user id {other.uid})"
    assert answer.errors.startswith(f"{user.name}: {fault}\n")
    assert lines_of(user) == []


def test_users_whom_nobody_knows_are_told(server: DirectoryServer) -> None:
    dora = server.person(mobile=(NUMBER,))
    assert_refused(pam_totp("contact", "nobody-at-all", COPY), "there is no user 'nobody-at-all'")
    answer = pam_totp("contact", COPY, "--users", "-", typed=f"{dora.name}\nghost\n")
    assert_refused(answer, "standard input names unknown users (line 2: 'ghost')")
    groups = Path("/etc/group")
    before = groups.read_text()
    groups.write_text(f"{before}leavers:x:4242:{dora.name},ghost\n")
    try:
        answer = pam_totp("contact", COPY, "--group", "leavers")
    finally:
        groups.write_text(before)
    assert answer.errors.startswith("ghost: there is no such user\n")
    assert lines_of(dora) == []


@pytest.mark.parametrize(
    "options",
    [
        [COPY],
        [COPY, "--from", "/dev/null"],
        ["root", COPY, "--sms", NUMBER],
        ["root", COPY, "--remove"],
        ["root", COPY, "--group", "root"],
        ["root", COPY, "--unconfirmed"],
        [COPY, "--group", "root", "--users", "/dev/null"],
        ["root", COPY, "--only", "letter"],
        ["root", "--only", "sms"],
        ["--group", "root"],
        ["--from", "/dev/null", "--users", "/dev/null"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_with_the_directory_are_wrong_usage(options: list[str]) -> None:
    assert_refused(pam_totp("contact", *options), "", code=2)
    assert not CONTACTS.exists()
