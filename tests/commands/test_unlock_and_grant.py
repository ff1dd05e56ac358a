# SPDX-License-Identifier: MIT
"""`pam-totp unlock` and `pam-totp grant`: what root types, and what goes wrong."""

import re
from pathlib import Path

import pytest

from pam_totp.records.user.attempts import boot_seconds
from tests.commands.commands import (
    assert_refused,
    failures_of,
    gate,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    run,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE

ROOTS = [
    ["users"],
    ["reset", "--yes", "{}"],
    ["unlock", "{}"],
    ["grant", "{}"],
    ["migrate", "{}"],
]


@pytest.mark.parametrize("arguments", ROOTS, ids=lambda arguments: arguments[0])
def test_verb_for_root_is_refused_to_everybody_else(
    user: User, credential: Credential, arguments: list[str]
) -> None:
    words = [word.format(user.name) for word in arguments]
    answer = pam_totp(*words, user=user)
    assert (answer.code, answer.output) == (1, "")
    assert answer.errors == (
        "pam-totp: error: this command must be run as root\n"
        f"hint: sudo pam-totp {' '.join(words)}\n"
    )


def test_hint_of_a_verb_for_root_is_what_was_typed(user: User) -> None:
    answer = pam_totp("grant", "a b", "--for", "2h", user=user)
    assert answer.errors.endswith("\nhint: sudo pam-totp grant 'a b' --for 2h\n")


@pytest.mark.parametrize("arguments", ROOTS[1:], ids=lambda arguments: arguments[0])
@pytest.mark.parametrize(
    "name", ["nobody-at-all", "", "../root", "a b", "x\ny", "é" * 300, "20001"]
)
def test_unknown_user_is_an_error_in_two_lines(arguments: list[str], name: str) -> None:
    answer = pam_totp(*[word.format(name) for word in arguments])
    assert_refused(answer, "there is no user")
    assert answer.errors.endswith("\nhint: getent passwd\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["reset"],
        ["unlock"],
        ["grant"],
        ["migrate"],
        ["config"],
        ["config", "change"],
        ["config", "check", "a", "b"],
        ["users", "--xml"],
        ["reset", "a", "b"],
        ["recovery-codes", "--user"],
        ["grant", "root", "--for"],
        ["grant", "root", "--for", "30"],
        ["grant", "root", "--for", "30s"],
        ["grant", "root", "--for", "-30m"],
        ["grant", "root", "--for", "0m"],
        ["grant", "root", "--for", "1.5h"],
        ["grant", "root", "--for", "31d"],
        ["grant", "root", "--for", "99999d"],
        ["grant", "root", "--for", "1000000m"],
        ["grant", "root", "--for", "\u0663m"],
        ["grant", "root", "--for", "30m "],
        ["grant", "root", "--for", ""],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two_lines_and_exit_code_two(arguments: list[str]) -> None:
    answer = pam_totp(*arguments)
    lines = answer.errors.splitlines()
    assert (answer.code, answer.output, len(lines)) == (2, "", 2)
    assert lines[0].startswith("pam-totp: error: ")
    assert lines[1].startswith("hint: pam-totp ")
    assert not (STATE / "grants" / "0").exists()


@pytest.mark.parametrize("time", ["1m", "30m", "2h", "1d", "30d", "720h", "43200m"])
def test_length_of_a_grant_is_in_minutes_hours_or_days(user: User, time: str) -> None:
    assert pam_totp("grant", user.name, "--for", time).code == 0
    words = (STATE / "grants" / str(user.uid)).read_text(encoding="ascii").split()
    units = {"m": 60, "h": 3600, "d": 86400}
    assert int(words[4]) - int(words[3]) == int(time[:-1]) * units[time[-1]]


def test_grant_is_for_half_an_hour_where_nothing_is_said(user: User) -> None:
    assert pam_totp("grant", user.name).code == 0
    words = (STATE / "grants" / str(user.uid)).read_text(encoding="ascii").split()
    assert int(words[4]) - int(words[3]) == 1800
    assert words[5] == "MANY"


@pytest.mark.parametrize("option", ["--for 1h", "--for 30m", "--once"])
def test_end_of_a_grant_takes_no_time(user: User, option: str) -> None:
    assert pam_totp("grant", user.name).code == 0
    answer = pam_totp("grant", user.name, "--end", *option.split())
    assert_refused(answer, "--end cannot be combined with --for or --once", 2)
    assert answer.errors.endswith(f"\nhint: pam-totp grant {user.name} --end\n")
    assert (STATE / "grants" / str(user.uid)).exists()


def test_grant_that_cannot_be_recorded_is_said_not_to_be_given(
    user: User, credential: Credential
) -> None:
    with mounted(STATE, "size=4k,nr_inodes=1,mode=700"):
        assert_refused(pam_totp("grant", user.name), "No space left on device")
    with read_only(STATE):
        assert_refused(pam_totp("grant", user.name), "Read-only file system")
    assert gate(user).code != 0


def test_unlock_ends_the_wait_and_keeps_used_codes_used(user: User, credential: Credential) -> None:
    used = credential.fresh_code()
    assert verify(user, used).code == ACCEPTED
    for index in range(7):
        verify(user, credential.incorrect_code(index))
    assert "Too many incorrect codes" in gate(user).output
    done = pam_totp("unlock", user.name)
    assert (done.code, done.output) == (0, f"{user.name} can try again now.\n")
    assert gate(user).output == ""
    in_a_row, last, budget_used = failures_of(user)
    assert (in_a_row, last) == (0, 0)
    assert budget_used > 0, "for the guesses of the last 30 days"
    assert verify(user, used).code == REFUSED
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_unlock_says_truly_how_long_a_user_waits_whom_weeks_of_guessing_keep_waiting(
    user: User, credential: Credential
) -> None:
    verify(user, credential.incorrect_code())
    record = RECORDS / str(user.uid)
    now = int(boot_seconds())
    used_up = f"pam-totp attempts 1\nfailures 9 {now} {now + 301 * 900}\n"
    record.write_bytes(used_up.encode().ljust(4096))
    done = pam_totp("unlock", user.name)
    assert done.code == 0
    assert re.search(rf"{user.name} can try again in (\d+) seconds, or now with a\n", done.output)
    assert "can try again now" not in done.output
    assert failures_of(user) == (0, 0, now + 301 * 900)
    assert verify(user, credential.fresh_code()).code == REFUSED
    assert verify(user, new_recovery_codes(user)[0]).code == ACCEPTED


def test_unlock_forgets_incorrect_recovery_codes(user: User, credential: Credential) -> None:
    new_recovery_codes(user)
    assert verify(user, "abcd-efgh-ijkl-mnop").code == REFUSED
    record = RECORDS / str(user.uid)
    assert "step incorrect-recovery-codes 1\n" in record.read_text(encoding="ascii")
    pam_totp("unlock", user.name)
    assert "incorrect-recovery-codes" not in record.read_text(encoding="ascii")


def test_unlock_of_somebody_who_does_not_wait_is_fine(user: User) -> None:
    assert pam_totp("unlock", user.name).code == 0


def test_malformed_record_is_said_with_the_file_to_remove(
    user: User, credential: Credential
) -> None:
    (RECORDS / str(user.uid)).write_text("junk", encoding="ascii")
    answer = pam_totp("unlock", user.name)
    assert_refused(answer, "malformed")
    assert f"hint: rm {RECORDS}/{user.uid}" in answer.errors


def test_unlock_where_nothing_can_be_written_says_so(user: User, credential: Credential) -> None:
    verify(user, credential.incorrect_code())
    with read_only(Path("/run/pam-totp")):
        answer = pam_totp("unlock", user.name)
    assert_refused(answer, "Read-only file system")
    assert answer.errors.endswith("hint: findmnt -T /run/pam-totp\n")


@pytest.mark.parametrize("verb", ["grant", "unlock"])
def test_what_is_done_and_cannot_be_said_is_said_to_be_done(
    user: User, credential: Credential, verb: str
) -> None:
    answer = run(["/bin/sh", "-c", f"pam-totp {verb} {user.name} >/dev/full"])
    assert_refused(answer, "done, but the output cannot be written: No space left on device")


@pytest.mark.parametrize("verb", ["grant", "users"])
def test_closed_standard_output_is_said_and_nothing_is_done(user: User, verb: str) -> None:
    name = user.name if verb == "grant" else ""
    answer = run(["/bin/sh", "-c", f"pam-totp {verb} {name} >&-"])
    assert_refused(answer, "standard output is closed; nothing was done")
    assert not (STATE / "grants" / str(user.uid)).exists()
