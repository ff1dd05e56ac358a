# SPDX-License-Identifier: MIT
"""Answers that are no try: the password again, the same answer again. VERIFY, which counts, does
not see them; in place of the password it is given an empty code, which it refuses and logs.
And what the module does where libpam fails, or the application wants silence."""

import pytest

from tests.host.system_log import SystemLog
from tests.pam.bench import PASSWORD, RIGHT_CODE, Bench

SUCCESS, BUF_ERR, AUTH_ERR = 0, 5, 7  # security/_pam_types.h
RIGHT = f"={RIGHT_CODE}"


@pytest.mark.parametrize("password", [PASSWORD, "12345678", RIGHT_CODE, " ", "ü☎", "p" * 511])
def test_password_as_the_answer_is_not_verified_nor_asked_for_again_and_the_log_says_why(
    bench: Bench, syslog: SystemLog, password: str
) -> None:
    login = bench.log_in(f"={password}", RIGHT, password=password)
    assert (login.authenticate, len(login.prompts), login.typed) == (AUTH_ERR, 1, [""])
    assert login.password_after == password
    line = syslog.wait_for("the answer is the password: see pam_totp(8)")
    assert (line.facility, line.severity) == ("authpriv", "warning")
    assert password not in line.message or password == " "


def test_users_name_as_the_answer_is_no_try_either(bench: Bench, syslog: SystemLog) -> None:
    """Mail servers answer a question that would be shown with it, and it may be six digits."""
    login = bench.log_in("=root", RIGHT)
    assert (login.authenticate, len(login.prompts), login.typed) == (AUTH_ERR, 1, [""])
    assert "see pam_totp(8)" in syslog.wait_for("the answer is the user's name").message


def test_password_as_the_answer_is_refused_whatever_the_verifier_says(bench: Bench) -> None:
    bench.program("verify", "#!/bin/sh\nexit 0\n")
    assert bench.log_in(f"={PASSWORD}").authenticate == AUTH_ERR


def test_password_after_an_incorrect_code_ends_the_questions_too(bench: Bench) -> None:
    login = bench.log_in("=000000", f"={PASSWORD}", RIGHT)
    assert (login.authenticate, len(login.prompts)) == (AUTH_ERR, 2)
    assert login.typed == ["000000", ""]


@pytest.mark.parametrize("answer", [f"{PASSWORD} ", PASSWORD[:-1], PASSWORD.upper(), ""])
def test_answer_that_is_not_quite_the_password_is_verified(bench: Bench, answer: str) -> None:
    assert bench.log_in(f"={answer}", RIGHT).authenticate == SUCCESS


def test_empty_answer_to_an_empty_password_is_asked_again(bench: Bench) -> None:
    login = bench.log_in("=", RIGHT, password="")
    assert (login.authenticate, login.typed) == (SUCCESS, ["", RIGHT_CODE])


def test_without_a_password_every_answer_is_verified(bench: Bench) -> None:
    login = bench.log_in(f"={PASSWORD}", RIGHT, "=asked anew", password=None)
    assert (login.authenticate, login.typed) == (SUCCESS, [PASSWORD, RIGHT_CODE])


def test_same_answer_again_is_one_try_and_is_asked_again(bench: Bench, syslog: SystemLog) -> None:
    login = bench.log_in(*["=000000"] * 3, options="tries=3")
    assert (login.authenticate, len(login.prompts), login.typed) == (AUTH_ERR, 3, ["000000"])
    assert "not counted" in syslog.wait_for("the same answer again").message
    login = bench.log_in("=000000", "=000000", RIGHT)
    assert (login.authenticate, login.typed) == (SUCCESS, ["000000", RIGHT_CODE])


def test_answer_given_again_after_another_one_is_verified(bench: Bench) -> None:
    login = bench.log_in("=000000", "=000001", "=000000")
    assert login.typed == ["000000", "000001", "000000"]


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("gate", ["exit 0", "exit 1"])
def test_environment_that_cannot_be_changed_or_put_back_refuses_and_is_logged(
    bench: Bench, syslog: SystemLog, monkeypatch: pytest.MonkeyPatch, gate: str, call: int
) -> None:
    """Calls 1 to 4 are around the gate, 5 to 8 around the verifier."""
    bench.gate_does(gate)
    monkeypatch.setenv("FAIL_pam_putenv", str(call))
    login = bench.log_in(RIGHT, variables=("ONE=1", "TWO=2"))
    if gate == "exit 0" and call > 4:
        assert login.authenticate == SUCCESS  # another module's: no code was needed
        return
    assert login.authenticate == BUF_ERR
    assert login.password_after == PASSWORD
    assert syslog.wait_for("environment cannot be changed or put back").severity == "crit"


def test_list_of_variables_that_cannot_be_had_refuses_for_its_own_reason(
    bench: Bench, syslog: SystemLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL_pam_getenvlist", "1")
    login = bench.log_in(RIGHT)
    assert (login.authenticate, login.prompts, login.gate_ran) == (BUF_ERR, [], False)
    syslog.wait_for("environment cannot be changed or put back")
    assert syslog.lines("no pam_exec.so") == []


def test_silence_leaves_the_messages_out_and_asks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.gate_does("echo hello; exit 1")
    assert bench.log_in(RIGHT).messages == ["hello"]
    monkeypatch.setenv("SILENT", "1")
    login = bench.log_in(RIGHT)
    assert (login.authenticate, login.messages, len(login.prompts)) == (SUCCESS, [], 1)
    assert bench.log_in(RIGHT, service="sudo").messages == ["hello"]


def test_debug_logs_what_the_programs_answered_and_no_code_or_password(
    bench: Bench, syslog: SystemLog
) -> None:
    assert bench.log_in("=000000", RIGHT).authenticate == SUCCESS
    assert syslog.lines("pam_totp(login:auth)") == []
    assert bench.log_in("=000000", RIGHT, options="debug").authenticate == SUCCESS
    assert [line.message.split("/")[-1] for line in syslog.lines(str(bench.folder))] == [
        *("gate ...", "gate failed: exit code 1"),
        *("verify ...", "verify failed: exit code 1"),
        "verify ...",
    ]
    said = "\n".join(line.message for line in syslog.lines())
    assert not any(secret in said for secret in ("000000", RIGHT_CODE, PASSWORD))
