# SPDX-License-Identifier: MIT
"""Wrong usage: exit code 2, two lines, and nothing done."""

import pytest

from tests.enrollment.person import Start, run
from tests.host.accounts import User

WRONG = [
    [],
    ["frobnicate"],
    ["--frobnicate"],
    ["enroll", "--frobnicate"],
    ["enroll", "somebody"],
    ["status", "two\nlines", "\x1b[2J"],
    ["enroll", "--digits", "5"],
    ["enroll", "--digits", "9"],
    ["enroll", "--digits", "six"],
    ["enroll", "--digits"],
    ["enroll", "--period", "0"],
    ["enroll", "--period", "-1"],
    ["enroll", "--period", "31"],
    ["enroll", "--algorithm", "MD5"],
    ["enroll", "--algorithm", "sha1"],
    ["enroll", "--device", ""],
    ["enroll", "--device", " "],
    ["enroll", "--device", "a\nb"],
    ["enroll", "--device", "a" * 65],
    ["enroll", "--device", "\x1b[2J"],
    ["enroll", "--device", "a&digits=8"],
    ["enroll", "--device", "secret=ABC"],
    ["enroll", "--issuer", ""],
    ["enroll", "--issuer", "a:b"],
    ["enroll", "--issuer", "a\tb"],
    ["enroll", "--label", "a" * 65],
    ["enroll", "--label", "a:b"],
    ["status", "extra"],
    ["status", "--yaml"],
    ["check", "123456"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=lambda arguments: repr(" ".join(arguments)[:40]))
def test_wrong_usage_is_told_in_two_lines(user: User, arguments: list[str]) -> None:
    finished = run(user, *arguments)
    assert finished.status == 2
    assert finished.output == ""
    assert finished.error
    assert "--help" in finished.errors.splitlines()[1]
    assert finished.errors.replace("\n", "").isprintable()
    assert list(user.home.glob(".config")) == []


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["enrol"], "unknown verb 'enrol'; did you mean enroll?", "pam-totp"),
        (["user", "--json"], "unknown verb 'user'; did you mean users?", "pam-totp"),
        (["help"], "unknown verb 'help'", "pam-totp"),
        (["config", "chek"], "unknown action 'chek'; did you mean check?", "pam-totp config"),
        (
            ["users", "--jsn"],
            "unrecognized arguments: --jsn; did you mean --json?",
            "pam-totp users",
        ),
        (["config", "check", "--jsn"], "unrecognized arguments: --jsn", "pam-totp config check"),
        (["--jsn", "users"], "unrecognized arguments: --jsn", "pam-totp"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_hint_is_the_help_of_what_was_meant(
    user: User, arguments: list[str], error: str, hint: str
) -> None:
    finished = run(user, *arguments)
    assert finished.error == error
    assert finished.errors.splitlines()[1] == f"hint: {hint} --help"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["enroll", "--help"], ["status", "--help"], ["check", "-h"]]
)
def test_help_is_no_error(user: User, arguments: list[str]) -> None:
    finished = run(user, *arguments)
    assert finished.status == 0
    assert finished.output.startswith("usage: pam-totp")
    assert finished.errors == ""


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("check", "Check whether a code would be accepted.\n"),
        ("unlock", "End a user's wait after incorrect codes. Must be run as root.\n"),
    ],
)
def test_help_of_a_verb_says_what_it_does(user: User, verb: str, said: str) -> None:
    assert f"\n\n{said}" in run(user, verb, "--help").output


def test_version_is_told(user: User) -> None:
    finished = run(user, "--version")
    assert finished.status == 0
    assert finished.output.startswith("pam-totp 0.")


def test_help_that_nobody_reads_is_no_traceback(user: User) -> None:
    done = user.run_as("/bin/bash", "-c", "pam-totp --help | true; exit ${PIPESTATUS[0]}")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_full_disk_behind_the_output_is_no_traceback(user: User) -> None:
    done = user.run_as("/bin/sh", "-c", "pam-totp status --json > /dev/full")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.startswith("pam-totp: error: ")


def test_command_works_in_a_folder_that_is_gone(user: User, start: Start) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"'
    person = start(user, "enroll", through=["/bin/sh", "-c", script])
    person.type_line(person.scan().code())
    assert person.finish().status == 0
