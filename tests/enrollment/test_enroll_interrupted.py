# SPDX-License-Identifier: MIT
"""An enrollment that is broken off leaves everything as it was, and says so in two lines."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import enroll as enroll_by_root
from tests.enrollment.person import (
    CODE_PROMPT,
    CTRL_C,
    CTRL_D,
    PASSWORD_PROMPT,
    Person,
    Phone,
    Start,
    enroll,
    run,
    secret_file,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import COMMAND
from tests.host.saved_files import calls_on_files


def files_below(folder: Path) -> dict[Path, tuple[object, ...]]:
    """Every name below with what identifies its content."""
    return {
        path: (path.lstat().st_mode, path.lstat().st_ino, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    }


@pytest.fixture(params=["first", "again"])
def anybody(
    request: pytest.FixtureRequest, user: User, enrolled: Callable[..., Credential]
) -> Iterator[User]:
    """A user, enrolled already or not, whose home is the same after the test."""
    if request.param == "again":
        enrolled(user)
    before = files_below(user.home)
    yield user
    assert files_below(user.home) == before


def go_to_code_prompt(start: Start, user: User) -> Person:
    person: Person = start(user, "enroll")
    if secret_file(user).exists():
        person.answer(PASSWORD_PROMPT, user.password)
    person.read_until(CODE_PROMPT)
    return person


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("after_a_incorrect_code", [False, True])
def test_key_at_the_code_prompt_changes_nothing(
    anybody: User, start: Start, key: str, after_a_incorrect_code: bool
) -> None:
    person = go_to_code_prompt(start, anybody)
    if after_a_incorrect_code:
        person.type_line("12345")
        person.read_until(CODE_PROMPT)
    person.press(key)
    finished = person.finish()
    assert finished.status == 1
    assert "pam-totp: error: " in finished.output
    assert "nothing was changed\nhint: " in finished.output


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
def test_key_at_the_password_prompt_changes_nothing(
    user: User, start: Start, enrolled: Callable[..., Credential], key: str
) -> None:
    enrolled(user)
    before = files_below(user.home)
    person = start(user, "enroll")
    person.read_until(PASSWORD_PROMPT)
    person.press(key)
    finished = person.finish()
    assert finished.status == 1
    assert "nothing was changed\nhint: " in finished.output
    assert files_below(user.home) == before


def test_closed_window_changes_nothing(anybody: User, start: Start) -> None:
    go_to_code_prompt(start, anybody).hang_up()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGQUIT, signal.SIGHUP])
def test_signal_at_the_code_prompt_changes_nothing(
    anybody: User, start: Start, number: signal.Signals
) -> None:
    go_to_code_prompt(start, anybody).kill(number)


@pytest.mark.parametrize(
    "typed", ["", "\n", "123", "000000", "\0\n", "\n" * 9, "x" * 100_000 + "\n"]
)
def test_input_that_ends_too_early_changes_nothing(user: User, typed: str) -> None:
    finished = run(user, "enroll", typed=typed)
    assert finished.status == 1
    assert finished.error == "no answer; nothing was changed"
    assert finished.errors.endswith("hint: run it at a terminal, and answer there\n")
    assert list(user.home.glob(".config")) == []


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "en_US.UTF-8"])
def test_bytes_that_are_no_text_are_no_code(user: User, locale: str) -> None:
    if locale == "en_US.UTF-8":  # Python reads strictly in it, other than in C.UTF-8
        subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", locale], check=True)
    finished = run(user, "enroll", typed=b"\xff\xfe\n\x80\n", LC_ALL=locale)
    assert finished.status == 1
    assert finished.error == "no answer; nothing was changed"
    assert finished.output.count("A code is 6 digits.") == 2


def test_closed_standard_streams_change_nothing(user: User) -> None:
    for closed in ("0<&-", "1>&-", "0<&- 1>&- 2>&-"):
        done = user.run_as("/bin/sh", "-c", f"{COMMAND} enroll {closed}")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert list(user.home.glob(".config")) == []


def test_output_that_nobody_reads_changes_nothing(user: User) -> None:
    done = user.run_as("/bin/bash", "-c", f"set -o pipefail; echo 1 | {COMMAND} enroll | true")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert list(user.home.glob(".config")) == []


def test_ctrl_c_while_it_loads_shows_no_traceback(user: User, tmp_path: Path) -> None:
    """A slow disk gives a person time to change the mind: at any file that is opened."""
    trace = tmp_path / "trace"
    traced = ["strace", "-o", str(trace), "-e", "trace=openat", *user.command([COMMAND, "enroll"])]
    subprocess.run(traced, stdin=subprocess.DEVNULL, capture_output=True)
    opened = trace.read_text(encoding="utf-8").splitlines()
    ours = next(number for number, line in enumerate(opened, 1) if "/usr/lib/pam-totp" in line)
    assert len(opened) - ours > 50
    for number in range(ours, len(opened), 12):
        traced[4:5] = ["trace=openat", "-e", f"inject=openat:signal=SIGINT:when={number}"]
        done = subprocess.run(traced, input=b"", capture_output=True, start_new_session=True)
        del traced[5:7]
        assert b"Traceback" not in done.stdout + done.stderr, done.stderr.decode()
        assert done.returncode in (1, 130, -signal.SIGINT)
    assert list(user.home.glob(".config")) == []


def test_broken_off_secret_is_nowhere_on_the_disk(user: User, start: Start, tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.touch()
    person = start(user, "enroll")
    phone = person.scan()
    person.press(CTRL_C)
    person.finish()
    places = ["/home", "/tmp", "/run", "/var", "/root", "/etc", "/dev/shm"]
    halves = f"{phone.secret[:16]}|{phone.secret[16:]}"
    search = ["find", *places, "-xdev", "-type", "f", "-newer", str(stamp)]
    done = subprocess.run(
        [*search, "-exec", "grep", "-lE", halves, "{}", "+"], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def recovery_file(user: User) -> Path:
    return secret_file(user).with_name("recovery")


@pytest.mark.parametrize("file", ["recovery.new", "secret.new"])
@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name
)
def test_signal_between_the_two_saves_leaves_no_old_code_beside_the_new_secret(
    user: User, tmp_path: Path, number: signal.Signals, file: str
) -> None:
    traced = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", "trace=renameat"]
    assert enroll_by_root(user.name, traced) == 0
    before = secret_file(user).read_bytes(), recovery_file(user).read_bytes()
    calls = calls_on_files(tmp_path / "trace")
    when = next(call.number for call in calls if call.file == file)
    traced += ["-e", f"inject=renameat:signal={number.name}:when={when}"]
    status = enroll_by_root(user.name, traced)
    is_new = [
        secret_file(user).read_bytes() != before[0],
        recovery_file(user).read_bytes() != before[1],
    ]
    if number == signal.SIGKILL:
        assert is_new == [False, file == "secret.new"]
    else:
        assert is_new == [True, True]
        assert status == 0


def test_window_closed_when_saved_is_said_leaves_no_old_code_beside_the_new_secret(
    user: User, start: Start
) -> None:
    """The codes were once made after the secret was saved: a hang-up kept the old ones."""
    enroll(start, user)
    before = secret_file(user).read_bytes(), recovery_file(user).read_bytes()
    person = start(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    person.type_line(person.scan().code())
    person.read_until("Saved: ")
    person.hang_up()
    assert secret_file(user).read_bytes() != before[0]
    assert recovery_file(user).read_bytes() != before[1]


@pytest.mark.parametrize("option", [[], ["--device", "laptop"]], ids=["replace", "add"])
def test_saved_secret_is_said_although_the_output_cannot_be_written(
    user: User, option: list[str]
) -> None:
    """Standard output breaks after the last question, where root can see it happen."""
    command = f"{COMMAND} enroll --user {user.name} {' '.join(option)}"
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        shown = b""
        while not re.search(rb"otpauth://\S+\n", shown):
            shown += process.stdout.read1()  # type: ignore[attr-defined]
        assert process.stderr.read(len(CODE_PROMPT)) == CODE_PROMPT.encode()
        uri = re.search(rb"otpauth://\S+", shown)
        assert uri
        process.stdout.close()
        process.stdin.write(f"{Phone(uri[0].decode()).code()}\n".encode())
        process.stdin.close()
        errors = process.stderr.read().decode().removeprefix("\n")
    assert process.returncode == 1
    assert errors.startswith("pam-totp: error: the new secret is active; the old recovery codes")
    assert errors.count("\n") == 2
    assert secret_file(user).exists()


def test_code_typed_after_a_break_enrolls_as_ever(user: User, start: Start) -> None:
    person = start(user, "enroll")
    person.read_until(CODE_PROMPT)
    person.press(CTRL_C)
    person.finish()
    enroll(start, user)
