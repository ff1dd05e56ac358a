# SPDX-License-Identifier: MIT
"""What `pam-totp enroll` answers to a code that does not prove the new secret."""

import re
import time

import pyotp
import pytest

from tests.enrollment.person import (
    CODE_PROMPT,
    CTRL_C,
    CTRL_D,
    PASSWORD_PROMPT,
    Person,
    Phone,
    Start,
    secret_file,
)
from tests.host.accounts import User
from tests.host.credentials import Credential

DELETE = "Delete the entry that you just scanned from the app."
OLD_WORKS = f"{DELETE} The old one still works."


def answer_to(person: Person, code: str) -> str:
    """What is said to a code, up to the next prompt."""
    person.type_line(code)
    person.shown = b""
    person.read_until(CODE_PROMPT)
    return person.shown.decode().replace("\r\n", "\n")


def plain_app(phone: Phone) -> str:
    """The code of an app that ignores every parameter."""
    return pyotp.TOTP(phone.secret).now()


@pytest.mark.parametrize(
    ("options", "ignored", "way_out"),
    [
        (["--digits", "8"], "digits (6 for 8)", "--digits 6"),
        (["--period", "60"], "period (30 for 60)", "--period 30"),
        (["--algorithm", "SHA256"], "algorithm (SHA1 for SHA256)", "--algorithm SHA1"),
        (
            ["--digits", "8", "--period", "15", "--algorithm", "SHA512"],
            "digits (6 for 8), period (30 for 15), algorithm (SHA1 for SHA512)",
            "--digits 6 --period 30 --algorithm SHA1",
        ),
    ],
)
def test_parameters_that_the_app_ignores_are_named(
    user: User, start: Start, options: list[str], ignored: str, way_out: str
) -> None:
    person = start(user, "enroll", *options)
    phone = person.scan()
    said = answer_to(person, plain_app(phone))
    assert f"Incorrect code: the app ignores {ignored}." in " ".join(said.split())
    assert f"run:\n  pam-totp enroll {way_out}\n" in said
    assert all(len(line) <= 80 for line in said.splitlines())
    assert not secret_file(user).exists()
    person.type_line(phone.code())
    assert person.finish().status == 0


def test_six_digits_for_a_secret_of_eight_are_told_at_once(user: User, start: Start) -> None:
    person = start(user, "enroll", "--digits", "8")
    said = answer_to(person, person.scan().incorrect_code()[:6])
    assert "Codes of this secret have 8 digits, this one has 6." in said


def test_incorrect_code_names_this_machines_time(user: User, start: Start) -> None:
    person = start(user, "enroll", TZ="Asia/Kolkata")
    phone = person.scan()
    before = time.time()
    said = answer_to(person, phone.incorrect_code())
    moments = [
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(before + late)) for late in range(30)
    ]
    assert any(f"This machine's clock says {moment} (" in said for moment in moments)
    assert " IST).\nCompare it with the phone's.\n" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_time_of_a_machine_in_utc_is_named_once(user: User, start: Start) -> None:
    person = start(user, "enroll", TZ="UTC")
    said = answer_to(person, person.scan().incorrect_code())
    assert re.search(r"This machine's clock says [-0-9]+ [:0-9]+ UTC\.\s", said)


def test_distance_of_the_clocks_fits_80_columns(user: User, start: Start) -> None:
    person = start(user, "enroll")
    phone = person.scan()
    said = answer_to(person, phone.code_of_another_time(-1333))
    assert "the phone's clock is about\n11 h " in said
    assert all(len(line) <= 80 for line in said.splitlines())


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("options", [[], ["--device", "laptop"]], ids=["replace", "add"])
def test_end_after_the_qr_code_says_which_entry_to_delete(
    user: User, credential: Credential, start: Start, key: str, options: list[str]
) -> None:
    person = start(user, "enroll", *options)
    person.answer(PASSWORD_PROMPT, user.password)
    person.scan()
    person.press(key)
    finished = person.finish()
    assert OLD_WORKS in finished.output
    assert "nothing was changed\nhint: " in finished.output.partition(OLD_WORKS)[2]


def test_end_of_the_first_enrollment_speaks_of_no_old_entry(user: User, start: Start) -> None:
    person = start(user, "enroll")
    person.scan()
    person.press(CTRL_C)
    finished = person.finish()
    assert DELETE in finished.output
    assert OLD_WORKS not in finished.output


def test_end_before_the_qr_code_speaks_of_no_entry(
    user: User, credential: Credential, start: Start
) -> None:
    person = start(user, "enroll")
    person.read_until(PASSWORD_PROMPT)
    person.press(CTRL_C)
    assert DELETE not in person.finish().output
