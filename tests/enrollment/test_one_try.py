# SPDX-License-Identifier: MIT
"""Commands that ask for a code as proof: guessed at no faster than logins, and nobody is locked out
of logins by what a user runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.rules.throttle import MAX_WAIT_SECONDS
from tests.commands.commands import (
    Answer,
    assert_refused,
    failures_of,
    gate,
    let_pass,
    pam_totp,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential, enroll
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE
from tests.host.tokens import Token
from tests.login.marks import is_certain

ROOT = User("root", "", 0, 0, Path("/root"))
FREE_TRIES = 5
COMMANDS = [["check"], ["devices", "show", "phone"], ["recovery-codes"]]


@pytest.fixture
def root() -> Iterator[Credential]:
    """The credential of root, who has enrolled."""
    yield enroll(ROOT)
    shutil.rmtree(secret_of(ROOT).parent)
    for path in (RECORDS / "0", RECORDS / "certain" / "root", *STATE.glob("*/0")):
        path.unlink(missing_ok=True)


def answer_of(command: list[str], typed: str, user: User | None = None) -> Answer:
    return pam_totp(*command, user=user, typed=f"{typed}\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_incorrect_codes_at_a_command_of_roots_wait_with_those_of_logins(
    root: Credential, command: list[str]
) -> None:
    for index in range(FREE_TRIES - 1):
        assert answer_of(command, root.incorrect_code(index)).code == 1
    assert failures_of(ROOT)[0] == FREE_TRIES - 1
    assert verify(ROOT, root.incorrect_code(FREE_TRIES)).code == REFUSED
    waiting = answer_of(command, root.fresh_code())
    assert_refused(waiting, f"refused (throttled): incorrect codes: {FREE_TRIES}, ")
    assert waiting.errors.endswith("hint: pam-totp unlock root\n")
    assert root.secret not in waiting.output
    assert verify(ROOT, root.code()).code == REFUSED, "a login waits, too"
    let_pass(ROOT, MAX_WAIT_SECONDS)
    assert verify(ROOT, root.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_correct_code_at_a_command_counts_for_nothing(root: Credential, command: list[str]) -> None:
    """Nor does it end the wait of a guesser: it is not used up, so somebody may have seen it."""
    verify(ROOT, root.incorrect_code())
    before = failures_of(ROOT)
    for _ in range(FREE_TRIES + 1):
        assert answer_of(command, root.code()).code == 0
    assert failures_of(ROOT) == before


def test_used_code_and_no_code_count_for_nothing(root: Credential) -> None:
    used = root.fresh_code()
    assert verify(ROOT, used).code == ACCEPTED
    for _ in range(FREE_TRIES + 1):
        assert_refused(answer_of(["check"], used), "refused (reused-code)")
        assert_refused(answer_of(["check"], "12 34"), "refused (bad-input)")
    assert failures_of(ROOT)[0] == 0


def test_code_of_a_token_at_a_command_counts_as_often_as_at_a_login(root: Credential) -> None:
    token = Token(ROOT)
    token.enroll()
    verify(ROOT, token.incorrect_code())
    of_login = failures_of(ROOT)[2]
    (RECORDS / "0").unlink()
    answer_of(["check"], token.incorrect_code())
    assert abs(failures_of(ROOT)[2] - of_login) < MAX_WAIT_SECONDS
    assert verify(ROOT, token.code(0)).code == ACCEPTED
    before = failures_of(ROOT)
    assert_refused(answer_of(["check"], token.code(0)), "refused (reused-code)")
    assert failures_of(ROOT) == before


def test_code_of_ones_own_token_that_is_too_far_ahead_names_resync(root: Credential) -> None:
    token = Token(ROOT)
    token.enroll()
    refused = answer_of(["check"], token.code(50))
    assert_refused(refused, "code is 50 presses ahead")
    assert refused.errors.endswith("hint: pam-totp resync\n")


def test_where_the_budget_is_used_up_a_code_is_compared_with_fewer_secrets(
    root: Credential,
) -> None:
    """As at a login: the one that was used last is always among them."""
    second = Credential(ROOT, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    line = f"otpauth://totp/x?secret={second.secret} second\n"
    ROOT.give(secret_of(ROOT), secret_of(ROOT).read_text(encoding="ascii") + line)
    assert verify(ROOT, second.fresh_code()).code == ACCEPTED
    record = RECORDS / "0"
    text = record.read_text(encoding="ascii")
    boot = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    budget = int(boot) + 300 * MAX_WAIT_SECONDS - 60
    record.write_text(text.replace("failures 0 0 0", f"failures 0 0 {budget}")[:4096].ljust(4096))
    assert answer_of(["check"], second.code(1)).code == 0
    assert_refused(answer_of(["check"], root.fresh_code()), "refused (wrong-code)")


def test_mark_goes_with_an_incorrect_code_so_that_the_next_login_says_the_wait(
    root: Credential,
) -> None:
    assert verify(ROOT, root.fresh_code()).code == ACCEPTED
    assert is_certain(ROOT)
    for index in range(FREE_TRIES):
        answer_of(["check"], root.incorrect_code(index))
    assert "Too many incorrect codes" in gate(ROOT).output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_a_user_runs_never_has_the_user_wait_and_asks_once_a_run(
    user: User, credential: Credential, command: list[str]
) -> None:
    typed = "".join(f"{credential.incorrect_code(index)}\n" for index in range(20))
    for _ in range(2):
        answer = pam_totp(*command, user=user, typed=f"{typed}{credential.code()}\n")
        assert answer.code == 1
        assert credential.secret not in answer.output
    for index in range(FREE_TRIES + 1):
        assert answer_of(command, credential.incorrect_code(index), user).code == 1
    assert failures_of(user) == (0, 0, 0)
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_record_that_cannot_be_written_refuses_and_shows_nothing(root: Credential) -> None:
    (RECORDS / "0").write_text("junk", encoding="ascii")
    for command in COMMANDS:
        answer = answer_of(command, root.code())
        assert_refused(answer, "is malformed")
        assert root.secret not in answer.output
