# SPDX-License-Identifier: MIT
"""The throttle over real ssh, su and sudo: said before the prompt, one for all services."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.programs import failing, number_of, traced
from tests.commands.commands import clock, configured, failures_of, gate, let_pass, verify
from tests.host.accounts import User
from tests.host.credentials import STEP_SECONDS, Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, REFUSED
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"
WAIT = re.compile(r"Too many incorrect codes\. Try again in (\d+) seconds\.")
HOUR = 3600
RECORD = "pam-totp attempts 1"  # how what is written to the record begins


def guess(credential: Credential, times: int) -> None:
    """So many incorrect codes by hand, none of which is held up."""
    for index in range(times):
        assert verify(credential.user, credential.incorrect_code(index)).code == REFUSED


def last_reason(syslog: SystemLog) -> str:
    return syslog.decisions()[-1]["reason"]


def test_wait_is_said_before_the_prompt_over_ssh_and_the_correct_code_is_refused(
    user: User, credential: Credential, pam_services: PamServices, ssh: Converse, syslog: SystemLog
) -> None:
    pam_services.add("sshd")
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    for _ in range(2):
        login = ssh(user, [(PASSWORD, user.password), *wrong])
        assert login.status == 255
        assert not WAIT.search(login.transcript)
    right = [(CODE, credential.fresh_code())] * 3
    login = ssh(user, [(PASSWORD, user.password), *right])
    assert login.status == 255
    said = WAIT.search(login.transcript)
    assert said and 1 <= int(said[1]) <= 31
    assert said.start() < login.transcript.index(CODE)
    assert [decision["reason"] for decision in syslog.decisions()] == [
        *["wrong-code"] * 5,
        *["throttled"] * 2,  # the same code again is not looked at again
    ]
    assert re.fullmatch(r"incorrect codes: 5, \d+ s to wait", syslog.decisions()[-1]["detail"])


def test_failures_over_ssh_hold_up_su_and_sudo(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    ssh: Converse,
    on_terminal: Converse,
    syslog: SystemLog,
) -> None:
    alice, bob = make_user(), make_user()
    credential = enrolled(bob)
    bob.may_sudo()
    pam_services.add("sshd", ["auth required pam_totp.so tries=5"])
    for service in ("su", "sudo"):
        pam_services.add(service, ["auth required pam_totp.so tries=1"])
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(5)]
    assert ssh(bob, [(PASSWORD, bob.password), *wrong]).status == 255
    right = (CODE, credential.fresh_code())
    su = on_terminal(["su", bob.name, "-c", "id"], [(PASSWORD, bob.password), right], user=alice)
    assert su.status == 1
    assert WAIT.search(su.transcript)
    prompt = (rf"\[sudo\] password for {bob.name}:", bob.password)
    sudo = on_terminal(["sudo", "-k", "id"], [prompt, right, (prompt[0], CTRL_C)], user=bob)
    assert sudo.status == 1
    assert WAIT.search(sudo.transcript)
    assert {d["service"] for d in syslog.decisions() if d["reason"] == "throttled"} == {
        "su",
        "sudo",
    }


def test_five_tries_are_free(user: User, credential: Credential) -> None:
    guess(credential, 4)
    assert gate(user).output == ""
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert failures_of(user)[0] == 0


def test_success_clears_the_row(user: User, credential: Credential) -> None:
    guess(credential, 4)
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    guess(credential, 4)
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_correct_code_counts_nothing_against_the_budget(user: User, credential: Credential) -> None:
    guess(credential, 1)
    budget = failures_of(user)[2]
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert failures_of(user)[2] == budget


def test_wait_grows_to_a_quarter_of_an_hour_and_not_beyond(
    user: User, credential: Credential
) -> None:
    guess(credential, 5)
    waits = []
    for index in range(5, 12):
        said = WAIT.search(gate(user).output)
        assert said
        waits.append(int(said[1]))
        let_pass(user, waits[-1])
        assert gate(user).output == ""
        assert verify(user, credential.incorrect_code(index)).code == REFUSED
    for wait, expected in zip(waits, [30, 60, 120, 240, 480, 900, 900], strict=True):
        assert expected - 5 <= wait <= expected + 1


def test_correct_code_is_accepted_when_the_wait_is_over(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    guess(credential, 5)
    code = credential.fresh_code()
    assert verify(user, code).code == REFUSED
    assert last_reason(syslog) == "throttled"
    let_pass(user, 31)
    assert verify(user, code).code == ACCEPTED


def test_code_that_was_refused_for_the_wait_is_neither_counted_nor_used(
    user: User, credential: Credential
) -> None:
    guess(credential, 5)
    before = failures_of(user)
    assert verify(user, credential.fresh_code()).code == REFUSED
    assert failures_of(user) == before


def test_used_code_is_not_counted(user: User, credential: Credential, syslog: SystemLog) -> None:
    code = credential.fresh_code()
    assert verify(user, code).code == ACCEPTED
    for _ in range(8):
        assert verify(user, code).code == REFUSED
    assert last_reason(syslog) == "reused-code"
    assert failures_of(user)[0] == 0
    assert verify(user, credential.code(1)).code == ACCEPTED


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "123456789", "hunter2 hunter2"])
def test_what_is_no_code_at_all_is_not_counted(
    user: User, credential: Credential, typed: str
) -> None:
    assert verify(user, typed).code == REFUSED
    assert failures_of(user)[0] == 0


def test_code_of_a_wrong_clock_is_counted(user: User, credential: Credential) -> None:
    assert verify(user, credential.code(10)).code == REFUSED
    assert failures_of(user)[0] == 1


@pytest.mark.parametrize("shift", ["-2h", "+2h", "-400d", "+400d"])
def test_clock_that_is_set_neither_ends_nor_prolongs_the_wait(
    user: User, credential: Credential, syslog: SystemLog, shift: str
) -> None:
    hours = int(shift[:-1]) * (24 if shift.endswith("d") else 1)
    code = credential.code(hours * HOUR // STEP_SECONDS)
    guess(credential, 5)
    assert verify(user, code, through=clock(shift)).code == REFUSED
    assert last_reason(syslog) == "throttled"
    said = WAIT.search(gate(user, through=clock(shift)).output)
    assert said and int(said[1]) <= 31
    let_pass(user, 31)
    assert verify(user, code, through=clock(shift)).code == ACCEPTED


def test_try_is_counted_before_the_code_is_looked_at(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    """A verifier that is killed at the first call after the count is no free guess."""
    guess(credential, 1)
    call, number = first_call_after_the_count(credential, tmp_path / "trace")
    before = failures_of(user)[0]
    killed = verify(
        user, credential.incorrect_code(1), through=failing(call, number, "signal=KILL")
    )
    assert killed.code == -9
    assert failures_of(user)[0] == before + 1


def test_verifier_killed_before_the_yes_has_counted_and_uses_up_no_step(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], tmp_path: Path
) -> None:
    like, user = make_user(), make_user()
    trace = tmp_path / "trace"
    assert verify(like, enrolled(like).fresh_code(), through=traced(trace)).code == ACCEPTED
    number = number_of(trace, "pwrite64", f"{RECORD}\\nstep ")
    code = enrolled(user).fresh_code()
    killed = verify(user, code, through=failing("pwrite64", number, "signal=KILL"))
    assert killed.code == -9
    assert failures_of(user)[0] == 1
    assert verify(user, code).code == ACCEPTED


def test_try_that_cannot_be_counted_is_refused(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    fail = ["strace", "-o", "/dev/null", "-e", "inject=pwrite64:error=EIO:when=1"]
    assert verify(user, credential.fresh_code(), through=fail).code == REFUSED
    assert last_reason(syslog) == "state-unavailable"


def test_incorrect_codes_of_one_user_do_not_hold_up_another(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    alice, bob = make_user(), make_user()
    guess(enrolled(alice), 6)
    assert gate(bob).output == ""
    assert verify(bob, enrolled(bob).fresh_code()).code == ACCEPTED


def test_throttle_is_as_configured(user: User, credential: Credential) -> None:
    text = "throttle: {free_tries: 2, first_wait: 300, longest_wait: 600}\n"
    with configured(text):
        guess(credential, 1)
        assert gate(user).output == ""
        guess(credential, 1)
        said = WAIT.search(gate(user).output)
        assert said and 290 <= int(said[1]) <= 301
        let_pass(user, 301)
        guess(credential, 1)
        said = WAIT.search(gate(user).output)
        assert said and 590 <= int(said[1]) <= 601


def test_record_of_an_earlier_boot_holds_nobody_up_for_long(
    user: User, credential: Credential
) -> None:
    """Where /run outlives a boot, as in some containers, its times lie in the clock's future."""
    guess(credential, 6)
    let_pass(user, -400 * 24 * HOUR)
    let_pass(user, 15 * 60)
    assert gate(user).output == ""
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def first_call_after_the_count(credential: Credential, trace: Path) -> tuple[str, int]:
    """The name of the call that follows the one that writes the count, and its number of that
    name, in a login with an incorrect code where a record is already."""
    through = ["strace", "-o", str(trace)]
    assert verify(credential.user, credential.incorrect_code(), through=through).code == REFUSED
    text = trace.read_text(encoding="utf-8")
    counted = re.search(rf'^pwrite64\(\d+, "{RECORD}.*\n(\w+)\(', text, re.MULTILINE)
    assert counted, text
    before = re.findall(r"^(\w+)\(", text[: counted.end()], re.MULTILINE)
    return counted[1], before.count(counted[1])
