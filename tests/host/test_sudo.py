# SPDX-License-Identifier: MIT
"""sudo on a terminal, with the one line in the real /etc/pam.d/sudo: the code of who calls."""

from collections.abc import Callable

import pytest

from tests.host.accounts import SUDOERS, User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, Conversation, Dialogue

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
CODE = "Verification code: "


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    """Who calls sudo, and may."""
    user = make_user()
    user.may_sudo()
    return user


@pytest.fixture
def sudo(pam_services: PamServices, alice: User, on_terminal: Converse) -> Converse:
    """`sudo(answers)`: alice, who has typed the own password, becomes root."""
    for service in ("sudo", "sudo-i"):
        pam_services.add(service, shipped_lines("password-then-code"))

    def call(answers: Dialogue, *arguments: str) -> Conversation:
        argv = ["sudo", *(arguments or ("id", "-un"))]
        return on_terminal(argv, [(password_of(alice), alice.password), *answers], user=alice)

    return call


def password_of(user: User) -> str:
    return rf"\[sudo\] password for {user.name}: "


def shown(user: User, *questions: str) -> list[str]:
    return [f"[sudo] password for {user.name}: ", *questions]


def last_line(conversation: Conversation) -> str:
    return conversation.transcript.splitlines()[-1]


def test_the_code_of_whom_one_becomes_is_wrong_and_the_callers_right(
    sudo: Converse,
    alice: User,
    make_user: Callable[..., User],
    enrolled: Enroll,
    syslog: SystemLog,
) -> None:
    bob = make_user()
    codes = [(CODE, enrolled(user).fresh_code()) for user in (bob, alice)]
    became = sudo(codes, "-u", bob.name, "id", "-un")
    assert (became.status, last_line(became)) == (0, bob.name)
    reasons = [(decision["reason"], decision["user"]) for decision in syslog.decisions()]
    assert reasons == [("wrong-code", alice.name), ("totp", alice.name)]


def test_after_three_incorrect_codes_sudo_asks_for_the_password_again(
    sudo: Converse, alice: User, enrolled: Enroll
) -> None:
    credential = enrolled(alice)
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    right = [(password_of(alice), alice.password), (CODE, credential.fresh_code())]
    became = sudo([*wrong, *right])
    assert (became.status, last_line(became)) == (0, "root")
    assert "\nSorry, try again.\n" in became.transcript
    assert became.prompts == shown(alice, CODE, CODE, CODE) + shown(alice, CODE)


def test_nine_incorrect_codes_refuse(
    sudo: Converse, alice: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    credential = enrolled(alice)
    wrong = [(CODE, credential.incorrect_code(index)) for index in range(3)]
    again = [(password_of(alice), alice.password), *wrong]
    became = sudo([*wrong, *again, *again])
    assert (became.status, last_line(became)) == (1, "sudo: 3 incorrect password attempts")
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert reasons == ["wrong-code"] * 5 + ["throttled"] * 4


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["ctrl-c", "ctrl-d"])
def test_who_gives_up_at_the_code_is_refused_at_once(
    sudo: Converse, alice: User, enrolled: Enroll, key: str
) -> None:
    enrolled(alice)
    became = sudo([(CODE, key)])
    assert (became.status, became.prompts) == (1, shown(alice, CODE))
    assert last_line(became) == "sudo: a password is required"


def test_within_the_time_of_sudos_ticket_no_code_is_asked_again(
    sudo: Converse, alice: User, enrolled: Enroll, on_terminal: Converse, syslog: SystemLog
) -> None:
    answers = [(password_of(alice), alice.password), (CODE, enrolled(alice).fresh_code())]
    script = "sudo true && sudo id -un"
    became = on_terminal(["/bin/sh", "-c", script], answers, user=alice)
    assert (became.status, last_line(became)) == (0, "root")
    assert len(syslog.decisions()) == 1


def sudoers(user: User, *lines: str) -> None:
    (SUDOERS / user.name).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


@pytest.mark.parametrize("way", ["sudo -p", "passprompt_override"])
def test_prompt_of_sudo_s_own_stands_on_the_code_too(
    sudo: Converse, alice: User, enrolled: Enroll, on_terminal: Converse, way: str
) -> None:
    command, prompt = ["sudo", "-p", "your turn: ", "id", "-un"], "your turn: "
    if way == "passprompt_override":
        defaults = f'Defaults:{alice.name} passprompt_override, passprompt="your turn: "'
        sudoers(alice, defaults, f"{alice.name} ALL=(ALL:ALL) ALL")
        command = ["sudo", "id", "-un"]
    answers = [(prompt, alice.password), (prompt, enrolled(alice).fresh_code())]
    became = on_terminal(command, answers, user=alice)
    assert (became.status, became.prompts, last_line(became)) == (0, [prompt] * 2, "root")


def test_targetpw_asks_for_password_and_code_of_whom_one_becomes(
    sudo: Converse,
    alice: User,
    make_user: Callable[..., User],
    enrolled: Enroll,
    on_terminal: Converse,
    syslog: SystemLog,
) -> None:
    bob = make_user()
    sudoers(alice, f"Defaults:{alice.name} targetpw", f"{alice.name} ALL=(ALL:ALL) ALL")
    answers = [(password_of(bob), bob.password), (CODE, enrolled(bob).fresh_code())]
    became = on_terminal(["sudo", "-u", bob.name, "id", "-un"], answers, user=alice)
    assert (became.status, last_line(became)) == (0, bob.name)
    assert [decision["user"] for decision in syslog.decisions()] == [bob.name]


@pytest.mark.parametrize("way", ["NOPASSWD", "!authenticate"])
def test_nopasswd_and_not_authenticate_ask_nobody(
    sudo: Converse,
    alice: User,
    enrolled: Enroll,
    on_terminal: Converse,
    way: str,
    syslog: SystemLog,
) -> None:
    enrolled(alice)
    if way == "NOPASSWD":
        sudoers(alice, f"{alice.name} ALL=(ALL:ALL) NOPASSWD: ALL")
    else:
        sudoers(alice, f"Defaults:{alice.name} !authenticate", f"{alice.name} ALL=(ALL:ALL) ALL")
    became = on_terminal(["sudo", "id", "-un"], [], user=alice)
    assert (became.status, last_line(became)) == (0, "root")
    assert syslog.decisions() == []
