# SPDX-License-Identifier: MIT
"""Questions go to the terminal, what is wanted to standard output, wherever that was sent."""

import os
import select
import subprocess
import time

import pytest

from tests.commands.commands import RECOVERY_CODE
from tests.enrollment.person import (
    CHECK_PROMPT,
    CODE_PROMPT,
    PASSWORD_PROMPT,
    URI,
    Phone,
    Start,
    run,
)
from tests.host.accounts import User
from tests.host.credentials import Credential

RENEWAL_PROMPT = "Code from the app (or press Enter to use the system password): "


def into_a_file(*before: str) -> list[str]:
    return ["/bin/sh", "-c", '"$@" > "$0"', "answer", *before]


def test_question_of_check_is_not_in_the_file_that_gets_the_answer(
    user: User, credential: Credential, start: Start
) -> None:
    person = start(user, "check", through=into_a_file())
    person.answer(CHECK_PROMPT, credential.fresh_code())
    assert person.finish().status == 0
    (line, *_) = (user.home / "answer").read_text(encoding="utf-8").splitlines()
    assert CHECK_PROMPT not in line
    assert "'phone'" in line


@pytest.mark.parametrize("by", ["code", "password"])
def test_file_gets_recovery_codes_alone(
    user: User, credential: Credential, start: Start, by: str
) -> None:
    assert run(None, "recovery-codes", "--user", user.name).status == 0
    person = start(user, "recovery-codes", through=into_a_file())
    person.answer(RENEWAL_PROMPT, credential.fresh_code() if by == "code" else "")
    if by == "password":
        person.answer(PASSWORD_PROMPT, "wrong")
        person.answer(PASSWORD_PROMPT, user.password)
    shown = person.finish().output
    assert RECOVERY_CODE.findall(shown) == []
    text = (user.home / "answer").read_text(encoding="utf-8")
    assert text.startswith("Recovery codes, each valid for one login")
    assert len(RECOVERY_CODE.findall(text)) == 10
    assert "accepted" not in text


def test_enrollment_through_a_pipe_shows_key_and_question(
    user: User, credential: Credential, start: Start
) -> None:
    person = start(user, "enroll", through=["/bin/sh", "-c", '"$0" "$@" | tee piped'])
    person.answer(PASSWORD_PROMPT, user.password)
    person.read_until(CODE_PROMPT)
    person.type_line("12")
    person.read_until(CODE_PROMPT)
    file = user.home / "piped"
    while not (found := URI.findall(file.read_bytes())):  # the pipe's other end takes its time
        time.sleep(0.01)
    phone = Phone(found[-1].decode())
    person.type_line(phone.code())
    person.finish()
    piped = file.read_text(encoding="utf-8")
    assert f"URI:  {phone.uri}\n" in piped
    assert len(RECOVERY_CODE.findall(piped)) == 10
    for said in (CODE_PROMPT, "A code is 6 digits", "This replaces", PASSWORD_PROMPT):
        assert said not in piped


def without_a_terminal(user: User, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
    """A command whose standard input is a pipe that says nothing, as ssh's is for a person."""
    assignments = [f"{name}={value}" for name, value in variables.items()]
    command = user.command(["/usr/bin/env", *assignments, "pam-totp", *arguments])
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=user.home, start_new_session=True
    )


@pytest.mark.parametrize("over_ssh", [True, False])
def test_password_is_not_asked_for_where_typing_would_show_it(
    user: User, credential: Credential, over_ssh: bool
) -> None:
    variables = {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"} if over_ssh else {}
    command = without_a_terminal(user, "enroll", **variables)
    assert command.wait(20) == 1  # its input is still open: it did not wait for anything
    output, errors = command.communicate()
    assert b"otpauth" not in output
    error, hint = errors.decode().splitlines()
    assert error.startswith("pam-totp: error: without a terminal the password would be shown")
    assert hint == ("hint: ssh -t server pam-totp enroll" if over_ssh else "hint: pam-totp enroll")


def test_password_that_a_pipe_brings_over_ssh_is_refused_too(
    user: User, credential: Credential
) -> None:
    command = without_a_terminal(user, "enroll", SSH_CONNECTION="192.0.2.1 1 192.0.2.2 22")
    _, errors = command.communicate(f"{user.password}\n".encode())
    assert b"hint: ssh -t server pam-totp enroll" in errors


def test_question_without_any_terminal_is_not_in_standard_output(
    user: User, credential: Credential
) -> None:
    command = without_a_terminal(user, "check")
    assert command.stderr is not None
    assert select.select([command.stderr], [], [], 20)[0]
    assert os.read(command.stderr.fileno(), 100) == CHECK_PROMPT.encode()
    output, errors = command.communicate(f"{credential.fresh_code()}\n".encode())
    assert (command.returncode, errors) == (0, b"\n")
    assert CHECK_PROMPT.encode() not in output


@pytest.mark.parametrize(
    "arguments", [["enroll"], ["enroll", "--device", "laptop"], ["recovery-codes"], ["check"]]
)
def test_no_answer_at_all_is_two_lines_of_error(
    user: User, credential: Credential, arguments: list[str]
) -> None:
    finished = run(user, *arguments)
    assert finished.error.startswith("no ")  # and the property insists on two lines


@pytest.mark.parametrize("verb", ["enroll", "recovery-codes", "check", "reset", "enable"])
def test_closed_standard_input_is_no_answer(user: User, credential: Credential, verb: str) -> None:
    of_root = {"reset": [user.name], "enable": ["sshd"]}
    command = ["/bin/sh", "-c", 'pam-totp "$@" <&-', "sh", verb, *of_root.get(verb, [])]
    command = command if verb in of_root else user.command(command)
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.startswith("pam-totp: error: ")
    assert hint.startswith("hint: ")
    assert "unexpected failure" not in error


@pytest.mark.parametrize("arguments", [["enroll"], ["recovery-codes"], ["check"]])
def test_no_answer_at_a_terminal_leaves_the_error_a_line_of_its_own(
    user: User, credential: Credential, start: Start, arguments: list[str]
) -> None:
    person = start(user, *arguments, through=["/bin/sh", "-c", '"$0" "$@" </dev/null'])
    if arguments == ["enroll"]:
        person.read_until(PASSWORD_PROMPT)
        person.press("\x04")
    lines = person.finish().output.splitlines()
    assert lines[-2].startswith("pam-totp: error: no ")
    assert lines[-1].startswith("hint: ")
