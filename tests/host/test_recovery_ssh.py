# SPDX-License-Identifier: MIT
"""Recovery codes over real ssh and su: at the same prompt, once, and said how many are left."""

from collections.abc import Callable

import pytest

from tests.commands.commands import (
    failures_of,
    mounted,
    new_recovery_codes,
    read_only,
    recovery_file,
    recovery_of,
    tree,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"
AMBIGUOUS = "olbo-lbol-bolb-2345"


@pytest.fixture
def codes(user: User, credential: Credential) -> list[str]:
    return new_recovery_codes(user)


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_recovery_code_is_accepted_at_the_same_prompt_over_ssh_and_says_what_is_left(
    user: User, codes: list[str], pam_services: PamServices, ssh: Converse, syslog: SystemLog
) -> None:
    pam_services.add("sshd")
    login = ssh(user, [(PASSWORD, user.password), (CODE, codes[0])])
    assert login.status == 0
    assert login.prompts == [f"({user.name}@server) {PASSWORD} ", f"({user.name}@server) {CODE} "]
    assert "9 recovery codes left." in login.transcript
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("accept", "recovery-code")


def test_recovery_code_is_accepted_with_a_shell_and_says_what_is_left(
    user: User, codes: list[str], pam_services: PamServices, ssh: Converse
) -> None:
    pam_services.add("sshd")
    dialogue = [(PASSWORD, user.password), (CODE, codes[0]), (r"\$", "exit")]
    login = ssh(user, dialogue, command=None)
    assert login.status == 0
    assert "9 recovery codes left." in login.transcript


def test_recovery_code_is_accepted_once_over_ssh(
    user: User, codes: list[str], pam_services: PamServices, ssh: Converse, syslog: SystemLog
) -> None:
    pam_services.add("sshd", ["auth required pam_totp.so tries=1"])
    dialogue = [(PASSWORD, user.password), (CODE, codes[3])]
    assert ssh(user, dialogue).status == 0
    assert ssh(user, dialogue).status == 255
    assert reasons(syslog) == ["recovery-code", "reused-code"]


def test_su_says_how_many_are_left_too(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    pam_services: PamServices,
    on_terminal: Converse,
) -> None:
    alice, bob = make_user(), make_user()
    enrolled(bob)
    code = new_recovery_codes(bob)[0]
    pam_services.add("su")
    dialogue = [(PASSWORD, bob.password), (CODE, code)]
    login = on_terminal(["su", bob.name, "-c", "id -un"], dialogue, user=alice)
    assert login.status == 0
    assert "9 recovery codes left.\n" in login.transcript
    assert login.transcript.endswith(f"{bob.name}\n")


FORMS: dict[str, Callable[[str], str]] = {
    "as shown": str,
    "upper case": str.upper,
    "no dashes": lambda code: code.replace("-", ""),
    "spaces for dashes": lambda code: code.replace("-", " "),
    "spaces and dashes anywhere": lambda code: " " + "-".join(code.replace("-", "")) + " ",
    "0 for o, 1 for l, 8 for b": lambda code: code.translate(str.maketrans("olb", "018")),
    "the same in upper case": lambda code: code.upper().translate(str.maketrans("OLB", "018")),
}


@pytest.mark.parametrize("form", FORMS)
def test_recovery_code_is_taken_however_it_is_typed(
    user: User, credential: Credential, form: str
) -> None:
    user.give(recovery_of(user), recovery_file([AMBIGUOUS, "aaaa-aaaa-aaaa-aaaa"]))
    answer = verify(user, FORMS[form](AMBIGUOUS))
    assert (answer.code, answer.output.splitlines()[0]) == (
        ACCEPTED,
        "1 recovery code left. For new ones, run: pam-totp recovery-codes",
    )
    for again in FORMS.values():
        assert verify(user, again(AMBIGUOUS)).code == REFUSED


@pytest.mark.parametrize(
    "typed",
    [
        "olbo-lbol-bolb-2347",  # another one
        "olbo-lbol-bolb-234",
        "olbo-lbol-bolb-23455",
        "olbo-lbol-bolb",
        "olbo_lbol_bolb_2345",
        "olbo-lbol-bolb-2345-" + "-" * 60,
        "olbo-lbol-bolb-2345\0\0",
        "\uff4flbo-lbol-bolb-2345",  # a full-width o
        "olbo-lbol-bolb-234\u0665",  # an Arabic five
    ],
)
def test_nothing_but_the_code_itself_is_taken(
    user: User, credential: Credential, typed: str
) -> None:
    user.give(recovery_of(user), recovery_file([AMBIGUOUS]))
    assert verify(user, typed).code == REFUSED
    assert verify(user, AMBIGUOUS).code == ACCEPTED


def test_recovery_code_with_the_trailing_nul_of_older_pam_exec_is_taken(
    user: User, credential: Credential
) -> None:
    user.give(recovery_of(user), recovery_file([AMBIGUOUS]))
    assert verify(user, AMBIGUOUS + "\0").code == ACCEPTED


def test_every_one_of_the_ten_is_accepted_once_and_the_count_goes_down_to_none(
    user: User, codes: list[str]
) -> None:
    for left, code in zip(range(9, -1, -1), codes, strict=True):
        answer = verify(user, code)
        assert answer.code == ACCEPTED
        hint = " For new ones, run: pam-totp recovery-codes" if left <= 3 else ""
        assert answer.output == f"{left} recovery code{'' if left == 1 else 's'} left.{hint}\n"
    assert {verify(user, code).code for code in codes} == {REFUSED}


def test_a_used_code_stays_used_when_the_state_of_minutes_is_gone(
    user: User, codes: list[str]
) -> None:
    assert verify(user, codes[0]).code == ACCEPTED
    (RECORDS / str(user.uid)).unlink()  # as after a reboot
    assert verify(user, codes[0]).code == REFUSED


def test_recovery_codes_are_void_after_renewal_used_or_not(user: User, codes: list[str]) -> None:
    assert verify(user, codes[0]).code == ACCEPTED
    renewed = new_recovery_codes(user)
    assert {verify(user, code).code for code in codes} == {REFUSED}
    assert verify(user, renewed[0]).output == "9 recovery codes left.\n"


def test_recovery_code_is_accepted_while_codes_are_throttled_and_ends_the_wait(
    user: User, credential: Credential, codes: list[str], syslog: SystemLog
) -> None:
    for index in range(6):
        verify(user, credential.incorrect_code(index))
    assert verify(user, credential.fresh_code()).code == REFUSED
    assert verify(user, codes[0]).code == ACCEPTED
    assert failures_of(user)[0] == 0
    assert verify(user, credential.code(1)).code == ACCEPTED
    assert reasons(syslog)[-4:] == ["throttled", "throttled", "recovery-code", "totp"]


def test_recovery_code_of_somebody_else_is_refused(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    alice, bob = make_user(), make_user()
    enrolled(alice), enrolled(bob)
    code = new_recovery_codes(alice)[0]
    new_recovery_codes(bob)
    assert verify(bob, code).code == REFUSED
    assert verify(alice, code).code == ACCEPTED


def test_user_without_recovery_codes_is_refused_one(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verify(user, AMBIGUOUS).code == REFUSED
    assert syslog.decisions()[0]["detail"] == "no recovery codes"


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_recovery_code_that_cannot_be_recorded_is_refused_and_stays_good(
    user: User, credential: Credential, codes: list[str], syslog: SystemLog, disk: str
) -> None:
    full = mounted(STATE, "size=4k,nr_inodes=1,mode=700")
    with full if disk == "full" else read_only(STATE):
        refused, taken = verify(user, codes[0]), verify(user, credential.fresh_code())
    assert (refused.code, taken.code) == (REFUSED, ACCEPTED)
    decision = syslog.decisions()[0]
    assert decision["reason"] == "state-unavailable"
    assert ("No space left" if disk == "full" else "Read-only file system") in decision["detail"]
    assert verify(user, codes[0]).code == ACCEPTED


def test_no_recovery_code_is_logged_or_kept_in_the_clear(
    user: User, codes: list[str], syslog: SystemLog
) -> None:
    verify(user, codes[0])
    verify(user, codes[0])
    kept = b"".join([*tree(user.home).values(), *tree(STATE).values(), *tree(RECORDS).values()])
    logged = " ".join(line.message for line in syslog.lines()).encode()
    for code in codes:
        plain = code.replace("-", "").encode()
        for part in (code.encode(), plain, plain[:8], plain[8:]):
            for text in (part, part.upper()):
                assert text not in kept
                assert text not in logged
