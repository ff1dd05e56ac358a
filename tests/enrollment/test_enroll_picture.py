# SPDX-License-Identifier: MIT
"""`pam-totp enroll --png` and `--svg`: the new secret in a file, and nowhere on the screen; and
`--no-recovery-codes`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.commands import (
    RECOVERY_CODE,
    assert_refused,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    tree,
    verify,
)
from tests.enrollment.person import (
    CODE_PROMPT,
    CTRL_C,
    PASSWORD_PROMPT,
    Finished,
    Person,
    Phone,
    Start,
    secret_file,
    without_time,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pictures import logo_of, read_qr_code, unreadable_logo


def scan(person: Person, picture: Path) -> Phone:
    """Read on to the prompt for a code, and let a phone scan the picture."""
    person.read_until(CODE_PROMPT)
    return Phone(read_qr_code(picture))


def assert_shows_no_secret(finished: Finished, phone: Phone) -> None:
    shown = finished.raw.decode("utf-8", "replace").replace(" ", "")
    assert phone.secret not in shown
    assert "otpauth" not in shown
    assert "▀" not in shown


@pytest.mark.parametrize("logo", [False, True])
def test_phone_that_reads_the_picture_is_enrolled_and_no_key_is_on_the_screen(
    user: User, start: Start, logo: bool
) -> None:
    picture = user.home / "code.png"
    options = ["--png", str(picture)]
    if logo:
        options += ["--logo", str(logo_of(user, Image.new("RGB", (300, 120), "red")))]
    person = start(user, "enroll", *options, through=["/bin/sh", "-c", 'umask 0; "$0" "$@"'])
    phone = scan(person, picture)
    status = picture.stat()
    assert (status.st_mode & 0o7777, status.st_uid) == (0o600, user.uid)
    assert not secret_file(user).exists(), "no code has proved it"
    person.type_line(phone.code())
    finished = person.finish()
    assert finished.status == 0, finished.output
    assert without_time(secret_file(user).read_text()).endswith(f"{phone.uri} phone\n")
    assert_shows_no_secret(finished, phone)
    assert f"{picture} shows the secret of 'phone'." in finished.output
    assert len(RECOVERY_CODE.findall(finished.output)) == 10
    assert read_qr_code(picture) == phone.uri


def test_svg_is_written_in_place_of_a_png(user: User, start: Start) -> None:
    picture = user.home / "code.svg"
    person = start(user, "enroll", "--svg", str(picture))
    person.read_until(CODE_PROMPT)
    assert picture.read_bytes().startswith(b"<?xml")
    assert picture.stat().st_mode & 0o7777 == 0o600
    person.press(CTRL_C)
    assert person.finish().status == 1
    assert not picture.exists()


@pytest.mark.parametrize("how", ["ctrl-c", "ten incorrect codes", "disk"])
def test_picture_of_a_secret_that_was_not_saved_is_gone(user: User, start: Start, how: str) -> None:
    picture = user.home / "code.png"
    user.give(user.home / ".config" / "other", "")
    person = start(user, "enroll", "--png", str(picture))
    phone = scan(person, picture)
    if how == "ctrl-c":
        person.press(CTRL_C)
        finished = person.finish()
    elif how == "disk":
        with read_only(user.home / ".config"):
            person.type_line(phone.code())
            finished = person.finish()
    else:
        for _ in range(9):
            person.type_line(phone.incorrect_code())
            person.read_until(CODE_PROMPT)
        person.type_line(phone.incorrect_code())
        finished = person.finish()
    assert finished.status == 1
    assert "Delete the entry that you just scanned from the app." in finished.output
    assert_shows_no_secret(finished, phone)
    assert not picture.exists()
    assert not secret_file(user).exists()


def test_picture_that_cannot_be_made_is_refused_before_the_password_is_asked_for(
    user: User, credential: Credential
) -> None:
    """And nothing is changed."""
    user.give(user.home / "there.png", "mine")
    before = tree(user.home)
    answer = pam_totp("enroll", "--png", str(user.home / "there.png"), user=user)
    assert_refused(answer, "there.png already exists")
    assert tree(user.home) == before


def test_logo_that_makes_the_code_unreadable_enrolls_nobody(user: User) -> None:
    picture = user.home / "code.png"
    options = ["--png", str(picture), "--logo", str(unreadable_logo(user))]
    answer = pam_totp("enroll", *options, "--user", user.name, typed="123456\n")
    assert_refused(answer, "the QR code cannot be read; nothing was written")
    assert not picture.exists()
    assert not secret_file(user).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--logo", "x.png"], "--logo needs --png"),
        (["--svg", "x.svg", "--logo", "x.png"], "--logo needs --png"),
        (["--png", "x.png", "--no-qr"], "not allowed with argument"),
        (["--png", "x.png", "--svg", "x.svg"], "not allowed with argument"),
        (["--png", "x.png", "--token"], "there is no QR code of a token"),
        (["--svg", "x.svg", "--token"], "there is no QR code of a token"),
        (["--png", "x.png", "--users", "-", "--sheets", "y"], "--png is for one user"),
        (["--svg", "x.svg", "--users", "-", "--sheets", "y"], "--svg is for one user"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    user: User, options: list[str], said: str
) -> None:
    assert_refused(pam_totp("enroll", *options, user=user), said, code=2)
    assert not secret_file(user).exists()


def test_without_recovery_codes_none_are_made_and_it_says_how_to_make_them(
    user: User, start: Start
) -> None:
    person = start(user, "enroll", "--no-recovery-codes")
    phone = person.scan()
    person.type_line(phone.code())
    finished = person.finish()
    assert finished.status == 0
    assert RECOVERY_CODE.findall(finished.output) == []
    said = "There are no recovery codes. To make ten, run: pam-totp recovery-codes\n"
    assert said in finished.output
    assert len(new_recovery_codes(user)) == 10


def test_old_recovery_codes_are_void_beside_a_new_secret_without_codes(
    user: User, credential: Credential, start: Start
) -> None:
    code = new_recovery_codes(user)[0]
    person = start(user, "enroll", "--no-recovery-codes")
    person.answer(PASSWORD_PROMPT, user.password)
    person.type_line(person.scan().code())
    assert person.finish().status == 0
    assert verify(user, code).code == 1
    assert recovery_of(user).read_text(encoding="ascii").count("\n") == 1


def test_other_devices_keep_their_recovery_codes(
    user: User, credential: Credential, start: Start
) -> None:
    code = new_recovery_codes(user)[0]
    person = start(user, "enroll", "--device", "tablet", "--no-recovery-codes")
    person.answer(PASSWORD_PROMPT, user.password)
    person.type_line(person.scan().code())
    finished = person.finish()
    assert finished.status == 0
    assert "no recovery codes" not in finished.output
    assert verify(user, code).code == 0


def test_picture_in_a_folder_that_another_user_exchanges_has_no_other_file_removed(
    make_user: Callable[..., User], start: Start
) -> None:
    """By a link, before the command takes back what it has written there."""
    user, other, victim = (make_user() for _ in range(3))
    folder, kept = other.home / "pictures", other.home / "aside"
    other.run_as("mkdir", str(folder), check=True)
    victim.give(victim.home / "code.png", "mine")
    root = User("root", "", 0, 0, make_user().home)
    person = start(root, "enroll", "--user", user.name, "--png", str(folder / "code.png"))
    person.read_until(CODE_PROMPT)
    other.run_as("mv", str(folder), str(kept), check=True)
    other.run_as("ln", "-s", str(victim.home), str(folder), check=True)
    person.press(CTRL_C)
    assert person.finish().status == 1
    assert (victim.home / "code.png").read_text() == "mine"
    assert list(kept.iterdir()) == []
