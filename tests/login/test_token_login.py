# SPDX-License-Identifier: MIT
"""Tokens that count (HOTP) at the installed verifier: what is accepted, what is refused, and what
the log says."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.user import counters
from pam_totp.rules import throttle
from pam_totp.rules.reasons import Failure
from tests.commands.commands import failures_of, let_pass
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, ASK, RECORDS, REFUSED, STATE, VERIFY, run_as_pam_exec
from tests.host.system_log import SystemLog
from tests.host.tokens import Token
from tests.login.programs import gate, verify


def reason_and_detail(log: SystemLog) -> tuple[str, str]:
    decision = log.decisions()[-1]
    return decision["reason"], decision.get("detail", "")


def test_code_is_accepted_once_and_the_log_has_its_counter(
    user: User, token: Token, syslog: SystemLog
) -> None:
    assert verify(user.name, token.code(0)) == ACCEPTED
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("accept", "hotp")
    assert (decision["device"], decision["detail"]) == ("token", "counter 0")
    assert token.recorded() == 0
    assert verify(user.name, token.code(0)) == REFUSED
    assert reason_and_detail(syslog) == (
        "reused-code",
        "code already used or skipped (counter 0; expected 1)",
    )
    assert failures_of(user)[0] == 0, "the owner in a hurry"
    assert verify(user.name, token.code(1)) == ACCEPTED


@pytest.mark.parametrize("too_often", [1, 10, 11])
def test_token_that_was_pressed_too_often_still_logs_in(
    user: User, token: Token, too_often: int
) -> None:
    assert verify(user.name, token.code(too_often)) == ACCEPTED
    assert token.recorded() == too_often
    assert verify(user.name, token.code(too_often - 1)) == REFUSED, "skipped"
    assert verify(user.name, token.code(too_often + 1)) == ACCEPTED


@pytest.mark.parametrize("too_often", [12, 13, 100])
def test_token_that_was_pressed_far_too_often_is_refused_and_the_log_names_resync(
    user: User, token: Token, syslog: SystemLog, too_often: int
) -> None:
    assert verify(user.name, token.code(too_often)) == REFUSED
    assert reason_and_detail(syslog) == (
        "wrong-code",
        f"code is {too_often} presses ahead of the expected one, and up to 11 are accepted; "
        "run: pam-totp resync --user USER",
    )
    assert token.recorded() is None
    assert failures_of(user)[0] == 1


def test_code_of_no_counter_nearby_is_just_incorrect(
    user: User, token: Token, syslog: SystemLog
) -> None:
    for code in (token.incorrect_code(), token.code(101)):
        assert verify(user.name, code) == REFUSED
        assert reason_and_detail(syslog) == ("wrong-code", "")


def test_line_that_was_moved_back_does_not_make_used_codes_good_again(
    user: User, token: Token
) -> None:
    """The user may write the line, and root keeps the record."""
    token.enroll(counter=50)
    assert verify(user.name, token.code(55)) == ACCEPTED
    token.enroll(counter=0)
    assert verify(user.name, token.code(55)) == REFUSED
    assert verify(user.name, token.code(3)) == REFUSED
    assert verify(user.name, token.code(56)) == ACCEPTED


def test_line_that_was_moved_on_counts_from_there(user: User, token: Token) -> None:
    assert verify(user.name, token.code(0)) == ACCEPTED
    token.enroll(counter=40)
    assert verify(user.name, token.code(1)) == REFUSED
    assert verify(user.name, token.code(39)) == REFUSED
    assert verify(user.name, token.code(40)) == ACCEPTED


def test_record_of_a_token_outlives_its_line(user: User, token: Token) -> None:
    """Whoever takes the line out and in again gets no used code back."""
    other = Token(user)
    assert verify(user.name, token.code(4)) == ACCEPTED
    other.enroll()
    assert verify(user.name, other.code(0)) == ACCEPTED
    token.enroll()
    assert verify(user.name, token.code(4)) == REFUSED
    assert verify(user.name, token.code(5)) == ACCEPTED


@pytest.fixture
def both(user: User, token: Token) -> Credential:
    """A phone beside the token."""
    (secret,) = new_secrets()
    token.enroll(more=f"otpauth://totp/server:{user.name}?secret={secret}&issuer=server phone\n")
    return Credential(user, secret)


def test_phone_and_token_are_both_accepted(
    user: User, token: Token, both: Credential, syslog: SystemLog
) -> None:
    for code in (token.code(0), both.fresh_code(), token.code(1), both.fresh_code()):
        assert verify(user.name, code) == ACCEPTED
    assert [each["reason"] for each in syslog.decisions()] == ["hotp", "totp", "hotp", "totp"]
    assert [each["device"] for each in syslog.decisions()] == ["token", "phone", "token", "phone"]


def test_refusal_of_a_phone_s_code_is_told_beside_a_token(
    user: User, token: Token, both: Credential, syslog: SystemLog
) -> None:
    code = both.fresh_code()
    assert verify(user.name, code) == ACCEPTED
    assert verify(user.name, code) == REFUSED
    assert reason_and_detail(syslog)[0] == "reused-code"
    assert verify(user.name, both.code(-10)) == REFUSED
    assert reason_and_detail(syslog)[0] == "clock-skew"


def test_gate_and_the_mark_of_a_user_with_a_token_are_those_of_others(
    user: User, token: Token
) -> None:
    assert gate(user.name) == ASK
    assert verify(user.name, token.code(0)) == ACCEPTED
    assert (RECORDS / "certain" / user.name).exists()
    assert (STATE / "enforced" / str(user.uid)).exists()
    assert gate(user.name) == ASK


def guesses_counted(user: User) -> int:
    _, last, budget_used = failures_of(user)
    return (budget_used - last) // throttle.MAX_WAIT_SECONDS


def test_code_that_is_compared_with_a_token_counts_as_four_guesses(
    user: User, token: Token, both: Credential
) -> None:
    """Rule 34: twelve codes are four times the three that are compared of a phone."""
    assert verify(user.name, "00000000") == REFUSED, "of eight digits: no code of theirs"
    assert guesses_counted(user) == 5
    token.enroll()
    (RECORDS / str(user.uid)).unlink()
    assert verify(user.name, "00000000") == REFUSED
    assert guesses_counted(user) == 4


def spend_budget(user: User, guesses_left: int) -> None:
    """As weeks of somebody's guesses would, the latest of them long ago."""
    now = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    budget_used = now + (throttle.BUDGET_TRIES + 1 - guesses_left) * throttle.MAX_WAIT_SECONDS - 60
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    record = RECORDS / str(user.uid)
    text = f"pam-totp attempts 1\nfailures 0 0 {budget_used}\n"
    record.write_text(text.ljust(4096), encoding="ascii")
    record.chmod(0o600)


@pytest.mark.parametrize("guesses_left", [1, 2, 3])
def test_where_the_budget_is_nearly_used_up_fewer_codes_of_a_token_are_compared(
    user: User, token: Token, syslog: SystemLog, guesses_left: int
) -> None:
    """Rule 34. At least three are, as of a phone, so that the owner gets in."""
    codes = 3 * guesses_left
    spend_budget(user, guesses_left)
    assert verify(user.name, token.code(codes)) == REFUSED
    reason, detail = reason_and_detail(syslog)
    assert (reason, detail) == (
        "wrong-code",
        f"code is {codes} presses ahead of the expected one; "
        f"too many guesses, so {guesses_left} of 4 comparisons were made",
    )
    spend_budget(user, guesses_left)
    assert verify(user.name, token.code(codes - 1)) == ACCEPTED


def test_code_of_a_token_waits_as_others_do(user: User, token: Token, syslog: SystemLog) -> None:
    for _ in range(throttle.Limits().free_tries):
        assert verify(user.name, token.incorrect_code()) == REFUSED
    assert verify(user.name, token.code(0)) == REFUSED
    assert reason_and_detail(syslog)[0] == "throttled"
    assert token.recorded() is None
    let_pass(user, 60)
    assert verify(user.name, token.code(0)) == ACCEPTED
    assert failures_of(user)[0] == 0


@pytest.mark.parametrize(
    "content",
    ["", "\n", "pam-totp counters 2\n", "pam-totp counters 1\nx\n", "pam-totp counters 1\na b\n",
     "pam-totp counters 1\na -1\n", "\0" * 100, "pam-totp counters 1\n\n"],
)  # fmt: skip
def test_damaged_record_refuses_every_code_and_costs_no_try(
    user: User, token: Token, both: Credential, syslog: SystemLog, content: str
) -> None:
    assert verify(user.name, token.code(0)) == ACCEPTED
    token.record.write_text(content, encoding="ascii")
    for code in (token.code(1), both.fresh_code(), token.incorrect_code()):
        assert verify(user.name, code) == REFUSED
        reason, detail = reason_and_detail(syslog)
        assert reason == "state-unavailable"
        assert detail.startswith(f"{token.record} is malformed; run: rm ")
    assert failures_of(user)[0] == 0
    assert token.record.read_text(encoding="ascii") == content


def test_record_that_was_cut_short_anywhere_refuses_every_code(
    user: User, token: Token, syslog: SystemLog
) -> None:
    """A counter that lost its last digits would make used codes good again."""
    assert verify(user.name, token.code(0)) == ACCEPTED
    token.record.write_text(f"pam-totp counters 1\n{token.identity} 12\n", encoding="ascii")
    whole = token.record.read_bytes()
    for length in range(len(whole)):
        token.record.write_bytes(whole[:length])
        with pytest.raises(Failure, match="is malformed"):
            counters.read(user.uid)
    token.record.write_bytes(whole[:-2] + b"\n")
    assert counters.read(user.uid) == {token.identity: 1}
    token.record.write_bytes(whole[:-2])
    assert verify(user.name, token.code(2)) == REFUSED
    assert reason_and_detail(syslog)[0] == "state-unavailable"


@pytest.fixture
def runtime(user: User) -> Iterator[Path]:
    path = Path(f"/run/user/{user.uid}")
    path.mkdir(parents=True)
    os.chown(path, user.uid, user.gid)
    path.chmod(0o700)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def by_the_user(user: User, code: str) -> int:
    """As a screen locker runs it."""
    who = ["setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups", "--"]
    return run_as_pam_exec(VERIFY, user.name, code, through=who).returncode


@pytest.mark.usefixtures("runtime")
def test_screen_locker_accepts_the_phone_and_not_the_token(
    user: User, token: Token, both: Credential, syslog: SystemLog
) -> None:
    assert by_the_user(user, token.code(0)) == REFUSED
    assert by_the_user(user, both.fresh_code()) == ACCEPTED
    token.enroll()
    assert by_the_user(user, token.code(0)) == REFUSED
    assert reason_and_detail(syslog) == (
        "state-unavailable",
        "only root can record a token's counter as used",
    )
    assert verify(user.name, token.code(0)) == ACCEPTED


def test_state_of_a_backup_makes_the_codes_after_it_good_again_until_the_next_login(
    user: User, token: Token
) -> None:
    """What SECURITY.md says of it."""
    assert verify(user.name, token.code(0)) == ACCEPTED
    backup = token.record.read_bytes()
    assert verify(user.name, token.code(3)) == ACCEPTED
    token.record.write_bytes(backup)
    assert verify(user.name, token.code(0)) == REFUSED, "used before the backup was made"
    assert verify(user.name, token.code(4)) == ACCEPTED
    assert verify(user.name, token.code(3)) == REFUSED
