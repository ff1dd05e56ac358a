# SPDX-License-Identifier: MIT
"""Hints are commands that do what they say when they are pasted into a shell, whatever names of
devices, users and files are in them."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import Answer, assert_refused, pam_totp, run, secret_of, verify
from tests.commands.test_devices import give, names
from tests.commands.test_import import GOOGLE, give_google
from tests.enrollment.person import Person
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED

NAMES = [
    *("my phone", "it's", 'a "b"', "$(id)", "`id`", "a;b|c&d", "~", "*", "back\\slash", "#x"),
    *("-x", "--yes", "--user", "-", "é ü"),
]
ODD_USER = "CORP\\bob"


def hint_of(answer: Answer) -> str:
    return answer.errors.splitlines()[-1].removeprefix("hint: ")


def pasted(command: str, user: User | None = None, typed: str = "") -> Answer:
    """What a shell makes of it, without a terminal."""
    words = ["/bin/sh", "-c", command]
    return run(user.command(words) if user else words, typed, start_new_session=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_root", [True, False])
def test_only_device_is_removed_by_the_hint(user: User, name: str, by_root: bool) -> None:
    give(user, name)
    password = f"{user.password}\n"
    of_user = ["--user", user.name] if by_root else []
    answer = pam_totp("devices", "remove", *of_user, "--", name, user=None if by_root else user)
    assert_refused(answer, "is the only device of")
    done = pasted(hint_of(answer), None if by_root else user, password)
    assert (done.code, done.errors) == (0, "")
    assert names(user) == []


@pytest.mark.parametrize("name", NAMES)
def test_command_that_root_is_told_for_a_user_without_a_password_is_that_command(
    user: User, name: str
) -> None:
    give(user, name, "tablet")
    answer = pam_totp("devices", "rename", "--", name, f"{name} new", user=user, typed="no\n" * 3)
    assert_refused(answer, "the password was not accepted")
    command = hint_of(answer).removeprefix("without a password, ask root to run: ")
    done = pasted(command)
    assert (done.code, done.errors) == (0, "")
    assert names(user) == [f"{name} new", "tablet"]


@pytest.mark.parametrize("name", NAMES)
def test_command_for_a_terminal_over_ssh_reaches_the_other_end_as_it_was_typed(
    user: User, name: str
) -> None:
    """There a second shell reads it."""
    give(user, name, "tablet")
    through = ["env", "SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22"]
    answer = pam_totp("devices", "remove", "--", name, user=user, through=through)
    assert_refused(answer, "without a terminal the password would be shown")
    ssh, option, _, *words = shlex.split(hint_of(answer))
    assert (ssh, option) == ("ssh", "-t")
    done = pasted(" ".join(words), user, f"{user.password}\n")
    assert (done.code, done.errors) == (0, "")
    assert names(user) == ["tablet"]


@pytest.mark.parametrize("name", ["my phone", "it's", "-x"])
def test_window_that_is_too_small_names_the_command_for_this_device(user: User, name: str) -> None:
    (credential,) = give(user, name)
    person = Person(user, "devices", "show", "--", name, LANG="C")
    try:
        person.answer("Code from the app", credential.code())
        shown = person.finish().output
    finally:
        person.end()
    (command,) = re.findall(r"^  (LANG=C.UTF-8 pam-totp devices show .*)$", shown, re.MULTILINE)
    done = pasted(command, user, f"{credential.code()}\n")
    assert done.code == 0 and credential.secret in done.output


@pytest.mark.parametrize("name", NAMES)
def test_one_of_several_entries_is_shown_by_the_hint_and_imported_with_apply(
    user: User, tmp_path: Path, name: str
) -> None:
    secrets = new_secrets(2)
    lines = [f"otpauth://totp/{at}?secret={each}\n" for at, each in zip("ab", secrets, strict=True)]
    path = tmp_path / name
    path.write_text("".join(lines))
    there = f"cd {shlex.quote(str(tmp_path))} && "
    words = ["pam-totp", "import", "otpauth", "--user", user.name, "--apply", "--", name]
    if name == "-":
        return  # it stands for standard input
    answer = pasted(there + shlex.join(words))
    assert_refused(answer, "choose one of 2 entries")
    hint = hint_of(answer)
    shown = pasted(there + hint)
    assert (shown.code, shown.errors, secret_of(user).exists()) == (0, "", False)
    done = pasted(there + hint.replace(" --user ", " --apply --user ", 1))
    assert (done.code, done.errors) == (0, "")
    assert verify(user, Credential(user, secrets[0]).fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("name", NAMES)
def test_file_that_cannot_be_read_is_named_as_a_shell_reads_it(tmp_path: Path, name: str) -> None:
    there = f"cd {shlex.quote(str(tmp_path))} && "
    if name == "-":
        return
    answer = pasted(f"{there}{shlex.join(['pam-totp', 'import', 'oath', '--', name])}")
    assert_refused(answer, "No such file or directory")
    (tmp_path / name).touch()
    listed = pasted(there + hint_of(answer))
    assert listed.code == 0 and listed.output.count("\n") == 1


@pytest.fixture
def odd_user(user: User) -> Iterator[None]:
    """A user of a directory, as winbind names them; the account of `user` under another name."""
    accounts = Path("/etc/passwd")
    before = accounts.read_text()
    renamed = re.sub(rf"^{user.name}:", lambda _: f"{ODD_USER}:", before, flags=re.MULTILINE)
    accounts.write_text(renamed)
    yield
    accounts.write_text(before)


@pytest.mark.usefixtures("odd_user")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["devices", "--user", ODD_USER], ["enroll", "--user", ODD_USER]),
        (["recovery-codes", "--user", ODD_USER], ["enroll", "--user", ODD_USER]),
        (["resync", "--user", ODD_USER], ["enroll", "--token", "--user", ODD_USER]),
        (["reset", ODD_USER], ["reset", ODD_USER, "--yes"]),
        (["import", GOOGLE, ODD_USER], ["enroll", "--user", ODD_USER]),
        (["grant", ODD_USER], ["grant", ODD_USER, "--end"]),
    ],
)
def test_user_with_an_odd_name_is_named_as_a_shell_reads_it(
    words: list[str], wanted: list[str]
) -> None:
    answer = pam_totp(*words)
    said = answer.output + answer.errors
    commands = re.findall(r"(?:hint|run): (pam-totp .*)$", said, re.MULTILINE)
    assert [shlex.split(each)[1:] for each in commands] == [wanted]


@pytest.mark.usefixtures("odd_user")
def test_secret_of_a_user_with_an_odd_name_is_replaced_by_the_hint(user: User) -> None:
    give(user, "phone")
    google = give_google(user, new_secrets()[0])
    refused = pam_totp("import", GOOGLE, ODD_USER, "--apply")
    assert pasted(hint_of(refused)).code == 0
    assert google.secret in secret_of(user).read_text()


@pytest.mark.parametrize("device", [["--device", "it's mine"], ["--device=-x"]])
def test_command_for_a_phone_whose_app_ignores_parameters_keeps_the_name_of_the_device(
    user: User, start_enroll: Callable[..., Person], device: list[str]
) -> None:
    person = start_enroll(user, *device, "--digits", "8")
    phone = person.scan()
    person.type_line(phone.code()[2:])
    person.read_until("Use another app, or press Ctrl-C and run:\r\n  ")
    person.read_until("\r\n")
    line = person.shown.decode().splitlines()[-1].strip()
    assert shlex.split(line) == ["pam-totp", "enroll", *device, "--digits", "6"]


@pytest.fixture
def start_enroll() -> Iterator[Callable[..., Person]]:
    persons: list[Person] = []

    def start(user: User, *options: str) -> Person:
        persons.append(Person(user, "enroll", *options))
        return persons[-1]

    yield start
    for person in persons:
        person.end()


@pytest.mark.parametrize("path", ["/dev/null", "FIFO", "folder", "link"])
def test_special_file_gets_no_secret_and_is_told_as_any_other_name(
    user: User, credential: Credential, tmp_path: Path, path: str
) -> None:
    os.mkfifo(tmp_path / "FIFO")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/zero")
    whole = str(tmp_path / path)
    for words in (
        ["sheet", user.name, "--html", whole],
        ["devices", "show", "phone", "--user", user.name, "--png", whole],
        ["devices", "show", "phone", "--user", user.name, "--svg", whole],
    ):
        answer = pam_totp(*words)
        assert_refused(answer, f"{whole} already exists, and is never overwritten")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_sheet_on_standard_output_by_any_of_its_names(
    user: User, credential: Credential, tmp_path: Path, name: str
) -> None:
    answer = pam_totp("sheet", user.name, "--html", name)
    assert answer.code == 0 and credential.secret[:4] in answer.output
    with (tmp_path / "sheet.html").open("w") as file:
        done = subprocess.run(["pam-totp", "sheet", user.name, "--html", name], stdout=file)
    assert done.returncode == 0 and "</html>" in (tmp_path / "sheet.html").read_text()
