# SPDX-License-Identifier: MIT
"""`pam-totp check`: what the verifier would say of a code, and nothing spent."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyotp
import pytest

from tests.enrollment.person import CHECK_PROMPT, Start, run, secret_file
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.credentials import enroll as write_secret
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE
from tests.login.programs import verify


@pytest.fixture
def credential(user: User, enrolled: Callable[..., Credential]) -> Credential:
    return enrolled(user, device="my phone")


@pytest.fixture
def root_enrolled() -> Iterator[Credential]:
    root = User("root", "", 0, 0, Path("/root"))
    yield write_secret(root)
    shutil.rmtree("/root/.config/pam-totp")
    for path in (RECORDS / "0", STATE / "enforced" / "0"):
        path.unlink(missing_ok=True)


def test_correct_code_is_correct_and_not_used_up(
    user: User, credential: Credential, start: Start
) -> None:
    code = credential.fresh_code()
    person = start(user, "check")
    person.answer(CHECK_PROMPT, code)
    finished = person.finish()
    assert finished.status == 0
    assert (
        "This code from 'my phone' would be accepted.\nIt has not been used up." in finished.output
    )
    assert run(user, "check", typed=f"{code}\n").status == 0
    assert verify(user.name, code) == ACCEPTED


def test_code_may_be_piped_in_with_spaces(user: User, credential: Credential) -> None:
    code = credential.fresh_code()
    assert run(user, "check", typed=f"{code[:3]} {code[3:]}\n").status == 0
    assert run(user, "check", typed=code).status == 0


def test_incorrect_code_is_refused_with_a_hint(user: User, credential: Credential) -> None:
    finished = run(user, "check", typed=f"{credential.incorrect_code()}\n")
    assert finished.status == 1
    assert finished.error == "refused (wrong-code)"


@pytest.mark.parametrize(
    ("parameters", "ignored", "way_out"),
    [
        ("&digits=8", "digits (6 for 8)", "--digits 6"),
        ("&period=60", "period (30 for 60)", "--period 30"),
        ("&algorithm=SHA256", "algorithm (SHA1 for SHA256)", "--algorithm SHA1"),
    ],
)
def test_parameter_that_the_app_ignores_is_named(
    user: User, parameters: str, ignored: str, way_out: str
) -> None:
    key = pyotp.random_base32()
    user.give(secret_file(user), f"otpauth://totp/x?secret={key}{parameters} phone\n")
    finished = run(user, "check", typed=f"{pyotp.TOTP(key).now()}\n")
    assert finished.status == 1
    assert finished.error == f"refused (wrong-code): the app ignores {ignored}"
    assert finished.errors.endswith(f"\nhint: pam-totp enroll {way_out}\n")


@pytest.mark.parametrize(("offset", "direction"), [(10, "ahead of"), (-10, "behind")])
def test_code_of_a_wrong_clock_is_told_how_far_it_is_off(
    user: User, credential: Credential, offset: int, direction: str
) -> None:
    finished = run(user, "check", typed=f"{credential.code(offset)}\n")
    assert finished.status == 1
    assert finished.error.startswith("refused (clock-skew): ")
    assert direction in finished.error
    assert "min" in finished.error
    assert "Correct the clock" in finished.errors


def test_code_of_a_clock_that_is_hours_off_is_told_so(user: User, credential: Credential) -> None:
    """As `pam-totp enroll` does: a phone set to another time zone by hand."""
    nearer = {credential.code(offset) for offset in range(-1442, 1443)}
    offset = next(each for each in range(1443, 1500) if credential.code(each) not in nearer)
    finished = run(user, "check", typed=f"{credential.code(offset)}\n")
    assert finished.status == 1
    assert finished.error.startswith("refused (wrong-code): That code is correct for another time")
    assert "12 h " in finished.error
    assert len(finished.errors.splitlines()) == 2
    assert "Correct the clock" in finished.errors.splitlines()[1]


@pytest.mark.parametrize(
    "typed",
    ["", "\n", "12345\n", "abc\n", "-123456\n", "1２3456\n", "1\0\n"],  # noqa: RUF001
)
def test_what_is_no_code_is_refused(user: User, credential: Credential, typed: str) -> None:
    finished = run(user, "check", typed=typed)
    assert finished.status == 1
    assert finished.error.startswith("refused (bad-input)" if typed else "no answer")


def test_empty_answer_is_not_blamed_on_sshd(user: User, credential: Credential) -> None:
    assert run(user, "check", typed="\n").error == "refused (bad-input): no code was entered"


def test_user_who_is_not_enrolled_is_told_how_to(user: User) -> None:
    finished = run(user, "check", typed="123456\n")
    assert finished.status == 1
    assert finished.error == f"{user.name} is not enrolled"
    assert finished.errors.endswith("hint: pam-totp enroll\n")
    assert finished.output == ""


def test_secret_that_the_verifier_would_not_read_is_told(
    user: User, credential: Credential
) -> None:
    secret_file(user).chmod(0o644)
    finished = run(user, "check", typed=f"{credential.fresh_code()}\n")
    assert finished.status == 1
    assert finished.error.startswith("refused (secret-unsafe): ")


def test_root_learns_that_a_code_was_used(root_enrolled: Credential) -> None:
    code = root_enrolled.fresh_code()
    assert run(None, "check", typed=f"{code}\n").status == 0
    assert verify("root", code) == ACCEPTED
    finished = run(None, "check", typed=f"{code}\n")
    assert finished.status == 1
    assert finished.error == "refused (reused-code)"
    assert verify("root", root_enrolled.fresh_code()) == ACCEPTED


def test_user_is_told_that_only_root_can_see_what_was_used(
    user: User, credential: Credential
) -> None:
    code = credential.fresh_code()
    assert verify(user.name, code) == ACCEPTED
    finished = run(user, "check", typed=f"{code}\n")
    assert finished.status == 0
    assert (
        "Only root can see whether it was already used, and whether there is a wait after"
        in finished.output
    )
    assert verify(user.name, code) == REFUSED


def test_ctrl_c_is_two_lines(user: User, credential: Credential, start: Start) -> None:
    person = start(user, "check")
    person.read_until(CHECK_PROMPT)
    person.press("\x03")
    finished = person.finish()
    assert finished.status == 1
    assert "pam-totp: error: interrupted" in finished.output


def test_check_leaves_every_file_as_it_was(user: User, credential: Credential) -> None:
    before = secret_file(user).read_bytes(), os.listdir(RECORDS) if RECORDS.exists() else []
    run(user, "check", typed=f"{credential.fresh_code()}\n")
    run(user, "check", typed=f"{credential.incorrect_code()}\n")
    after = secret_file(user).read_bytes(), os.listdir(RECORDS) if RECORDS.exists() else []
    assert after == before


def test_check_of_root_records_no_code_as_used(root_enrolled: Credential) -> None:
    """The try is counted before the code is compared, and taken back for a correct one."""
    code = root_enrolled.fresh_code()
    assert run(None, "check", typed=f"{code}\n").status == 0
    record = (RECORDS / "0").read_text(encoding="ascii").rstrip()
    assert record == "pam-totp attempts 1\nfailures 0 0 0"
    assert verify("root", code) == ACCEPTED
