# SPDX-License-Identifier: MIT
"""Enrolling: a QR code, a key, a code that proves them, and only then the file."""

import base64
import hashlib
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.enrollment.person import (
    CODE_PROMPT,
    PASSWORD_PROMPT,
    Phone,
    Start,
    enroll,
    run,
    secret_file,
    without_time,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, REFUSED
from tests.host.system_log import SystemLog
from tests.login.programs import verify


def test_fresh_enrollment_ends_with_a_phone_that_logs_in(user: User, start: Start) -> None:
    person = start(user, "enroll")
    phone = person.scan()
    assert not secret_file(user).exists()
    person.type_line(phone.code())
    finished = person.finish()
    assert finished.status == 0
    assert "Scan this with an authenticator app" in finished.output
    assert f"Saved: {user.name} is enrolled with device 'phone'." in finished.output
    assert "No service on this machine asks for a code yet" in finished.output
    assert verify(user.name, phone.code()) == ACCEPTED


def test_secret_has_160_bits_and_the_key_is_that_of_the_uri(user: User, start: Start) -> None:
    person = start(user, "enroll")
    phone = person.scan()
    person.type_line(phone.code())
    shown = person.finish().output
    assert re.fullmatch(r"[A-Z2-7]{32}", phone.secret)
    key, below = re.findall(r"^Key:  ([A-Z2-7 ]+)$", shown, re.MULTILINE)
    assert below == key
    assert key.split(" ") == re.findall("....", phone.secret)


def test_every_enrollment_makes_another_secret(user: User, start: Start) -> None:
    phones = [start(user, "enroll").scan() for _ in range(3)]
    assert len({phone.secret for phone in phones}) == 3


def test_file_holds_the_uri_and_the_device_for_the_user_alone(user: User, start: Start) -> None:
    phone = enroll(start, user, "--device", "my new phone")
    path = secret_file(user)
    comment, line = path.read_text(encoding="utf-8").splitlines()
    assert comment.startswith("# ")
    assert without_time(line) == f"{phone.uri} my new phone"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert {each.stat().st_uid for each in (path, path.parent, path.parent.parent)} == {user.uid}
    assert sorted(path.parent.iterdir()) == [
        path.with_name(name) for name in (".gitignore", "recovery", "secret")
    ]


def test_parameters_that_every_app_assumes_are_left_out(user: User, start: Start) -> None:
    phone = start(user, "enroll").scan()
    assert phone.account == f"server:{user.name}@server"
    assert phone.parameters == {"secret": phone.secret, "issuer": "server"}


def test_issuer_and_label_are_what_the_app_shows(user: User, start: Start) -> None:
    phone = enroll(start, user, "--issuer", "Büro & Co/2?", "--label", "alice #1 100%")
    assert phone.account == "Büro & Co/2?:alice #1 100%"
    assert phone.parameters["issuer"] == "Büro & Co/2?"
    assert verify(user.name, phone.code()) == ACCEPTED


@pytest.mark.parametrize(
    ("digits", "algorithm", "period"),
    [(8, "SHA256", 60), (7, "SHA512", 15), (6, "SHA1", 60), (8, "SHA1", 30)],
)
def test_other_kinds_of_codes_log_in(
    user: User, start: Start, digits: int, algorithm: str, period: int
) -> None:
    options = ["--digits", str(digits), "--algorithm", algorithm, "--period", str(period)]
    phone = enroll(start, user, *options)
    assert (phone.digits, phone.algorithm, phone.period) == (digits, algorithm, period)
    oathtool = subprocess.run(
        [
            *("oathtool", "--base32", f"--totp={algorithm}", f"--digits={digits}"),
            *(f"--time-step-size={period}s", phone.secret),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert verify(user.name, oathtool.stdout.strip()) == ACCEPTED
    assert verify(user.name, oathtool.stdout.strip()) == REFUSED


def test_incorrect_code_is_asked_again_until_it_is_correct(user: User, start: Start) -> None:
    person = start(user, "enroll")
    phone = person.scan()
    person.type_line(phone.incorrect_code())
    person.answer(CODE_PROMPT, "abc")
    person.answer(CODE_PROMPT, "")
    person.answer(CODE_PROMPT, phone.code()[:5])
    person.read_until(CODE_PROMPT)
    assert not secret_file(user).exists()
    code = phone.code()
    person.type_line(f"{code[:3]} {code[3:]}")
    finished = person.finish()
    assert finished.status == 0
    assert finished.output.count("Incorrect code.") == 1
    assert finished.output.count("A code is 6 digits.") == 3


def test_ten_incorrect_codes_end_it_without_a_file(user: User, start: Start) -> None:
    person = start(user, "enroll")
    wrong = person.scan().incorrect_code()
    person.type_line(wrong)
    for _ in range(9):
        person.answer(CODE_PROMPT, wrong)
    finished = person.finish()
    assert finished.status == 1
    assert "pam-totp: error: 10 incorrect codes; nothing was changed\nhint: " in finished.output
    assert not (user.home / ".config").exists()


@pytest.mark.parametrize(
    ("offset", "apart"),
    [
        (20, r"(10 min|9 min 30 s) ahead of"),
        (-20, r"10 min( 30 s)? behind"),
        (240, r"(2 h|1 h 59 min 30 s) ahead of"),
        (-1440, r"12 h( 30 s)? behind"),
        (3, r"1 min( 30 s)? ahead of"),
    ],
)
def test_code_of_another_time_is_answered_with_how_far_the_clocks_are_apart(
    user: User, start: Start, offset: int, apart: str
) -> None:
    person = start(user, "enroll")
    while (phone := person.scan()).repeats(offset):
        person.hang_up()
        person = start(user, "enroll")
    person.type_line(phone.code(offset))
    person.answer(CODE_PROMPT, phone.code())
    finished = person.finish()
    assert finished.status == 0
    said = " ".join(finished.output.split())
    assert said.count("correct for another time") == 1
    assert re.search(rf"the phone's clock is about {apart} this machine's", said)
    assert re.search(r"it is \d\d:\d\d:\d\d UTC\. ", said)


def test_code_that_proved_the_secret_is_good_for_one_login(user: User, start: Start) -> None:
    """Enrolling spends nothing: only root could record it."""
    person = start(user, "enroll")
    phone = person.scan()
    code = phone.code(1)
    person.type_line(code)
    assert person.finish().status == 0
    assert verify(user.name, code) == ACCEPTED
    assert verify(user.name, code) == REFUSED


def test_services_that_ask_are_named(user: User, start: Start, pam_services: PamServices) -> None:
    pam_services.add("sshd")
    pam_services.add("sudo")
    person = start(user, "enroll")
    person.type_line(person.scan().code())
    shown = person.finish().output
    assert "A code is asked for by: sshd, sudo.\nKeep this session open" in shown


def test_code_may_come_from_a_pipe(user: User) -> None:
    command = user.command(["/usr/bin/pam-totp", "enroll"])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = ""
        while "URI:  " not in shown:
            shown += process.stdout.readline()
        uri = re.findall(r"URI:  (\S+)", shown)[0]
        rest, _ = process.communicate(Phone(uri).code() + "\n")
    assert process.returncode == 0
    assert "Saved: " in rest
    assert "\x1b" not in shown + rest
    assert verify(user.name, Phone(uri).code()) == ACCEPTED


def test_new_name_keeps_the_device_enrolled_before(user: User, start: Start) -> None:
    first = enroll(start, user)
    before = secret_file(user).read_text(encoding="utf-8")
    person = start(user, "enroll", "--device", "tablet")
    person.answer(PASSWORD_PROMPT, user.password)
    second = person.scan()
    person.type_line(second.code())
    finished = person.finish()
    assert finished.status == 0
    assert "This will add the device 'tablet'." in finished.output
    after = secret_file(user).read_text(encoding="utf-8")
    assert after.startswith(before)
    assert without_time(after.removeprefix(before)) == f"{second.uri} tablet\n"
    assert verify(user.name, second.code()) == ACCEPTED
    assert verify(user.name, first.code()) == ACCEPTED


@pytest.mark.parametrize("word", ["TABLET", "the id"])
@pytest.mark.parametrize("name", ["tablet", ""])
def test_secret_of_one_device_is_replaced_and_all_else_stays_byte_for_byte(
    user: User, start: Start, enrolled: Callable[..., Credential], word: str, name: str
) -> None:
    old = enrolled(user, device=name)
    line = secret_file(user).read_text(encoding="utf-8")
    kept = enrolled(user, device="phone")
    other = secret_file(user).read_text(encoding="utf-8")
    user.give(secret_file(user), f"# mine\n{line}\n{other}")
    if word == "the id" or not name:
        digest = hashlib.sha256(b"pam-totp credential 1\0" + base64.b32decode(old.secret))
        word = digest.hexdigest()[:8]
    assert run(None, "recovery-codes", "--user", user.name).status == 0
    codes = secret_file(user).with_name("recovery").read_bytes()
    person = start(user, "enroll", "--device", word)
    person.answer(PASSWORD_PROMPT, user.password)
    new = person.scan()
    person.type_line(new.code())
    finished = person.finish()
    assert finished.status == 0
    assert f"device {name!r}." in finished.output
    after = secret_file(user).read_text(encoding="utf-8")
    assert after.startswith(f"# mine\n{new.uri}&added=")
    assert after.endswith(f"Z {name}".rstrip() + f"\n\n{other}")
    assert secret_file(user).with_name("recovery").read_bytes() == codes
    assert verify(user.name, old.fresh_code()) == REFUSED
    assert verify(user.name, new.code()) == ACCEPTED
    assert verify(user.name, kept.fresh_code()) == ACCEPTED


def test_only_device_keeps_its_name_with_a_new_secret(
    user: User, start: Start, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user, device="my tablet")
    person = start(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    person.type_line(person.scan().code())
    assert "is enrolled with device 'my tablet'." in person.finish().output


def test_new_device_in_a_file_without_a_last_line_end_spoils_no_line(
    user: User, start: Start, enrolled: Callable[..., Credential]
) -> None:
    old = enrolled(user)
    secret_file(user).write_bytes(secret_file(user).read_bytes().rstrip(b"\n"))
    person = start(user, "enroll", "--device", "tablet")
    person.answer(PASSWORD_PROMPT, user.password)
    phone = person.scan()
    person.type_line(phone.code())
    assert person.finish().status == 0
    assert verify(user.name, phone.code()) == ACCEPTED
    assert verify(user.name, old.fresh_code()) == ACCEPTED


def test_enrolling_logs_no_secret_and_decides_nothing(
    user: User, start: Start, syslog: SystemLog
) -> None:
    phone = enroll(start, user)
    assert syslog.decisions() == []
    assert all(phone.secret not in line.message for line in syslog.lines())


def test_sudo_is_told_whose_secret_it_makes(user: User) -> None:
    finished = run(None, "enroll", SUDO_USER=user.name)
    assert finished.status == 1
    assert f"This enrolls root, not {user.name}" in finished.output


def test_user_id_without_an_account_is_told_so() -> None:
    command = ["setpriv", "--reuid", "54321", "--clear-groups", "/usr/bin/pam-totp", "enroll"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "pam-totp: error: user id 54321 is not in the password database\n"
    )
