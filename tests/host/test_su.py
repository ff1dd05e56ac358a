# SPDX-License-Identifier: MIT
"""su on a terminal, with the one line in the real /etc/pam.d/su: the code of whom one becomes."""

import re
import signal
from collections.abc import Callable

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, Conversation, Dialogue

Converse = Callable[..., Conversation]
Enroll = Callable[..., Credential]
PASSWORD, CODE = "Password: ", "Verification code: "
SHOW_DESCRIPTORS = "cd /; find /proc/self/fd -printf '%f %l\\n'"


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    """Who calls su."""
    return make_user()


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    """Whom alice becomes."""
    return make_user()


@pytest.fixture
def su(pam_services: PamServices, alice: User, bob: User, on_terminal: Converse) -> Converse:
    """`su(answers)`: alice becomes bob, and has typed bob's password."""
    pam_services.add("su", shipped_lines("password-then-code"))

    def become(answers: Dialogue, *options: str, command: str = "id -un") -> Conversation:
        argv = ["su", *options, bob.name, "-c", command]
        return on_terminal(argv, [(PASSWORD, bob.password), *answers], user=alice)

    return become


def last_line(conversation: Conversation) -> str:
    return conversation.transcript.splitlines()[-1]


def test_the_callers_own_code_is_wrong_and_the_other_users_right(
    su: Converse, alice: User, bob: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    codes = [enrolled(user).fresh_code() for user in (alice, bob)]
    became = su([(CODE, code) for code in codes])
    assert (became.status, last_line(became)) == (0, bob.name)
    reasons = [(decision["reason"], decision["user"]) for decision in syslog.decisions()]
    assert reasons == [("wrong-code", bob.name), ("totp", bob.name)]


def test_limits_that_crash_our_programs_leave_no_core_file_in_the_callers_folder(
    pam_services: PamServices, alice: User, bob: User
) -> None:
    """Under one of them the password is still checked, and the interpreter aborts."""
    pam_services.add("su", shipped_lines("password-then-code"))
    typed = f"{bob.password}\n000000\n000001\n000002\n"
    for kibibytes in range(1500, 2200, 100):
        limits = f"ulimit -c unlimited; ulimit -d {kibibytes}; exec su {bob.name} -c true"
        assert alice.run_as("/bin/bash", "-c", limits, input=typed).returncode != 0
    assert list(alice.home.glob("core*")) == []


def test_session_has_none_of_the_limits_of_our_programs(
    su: Converse, bob: User, enrolled: Enroll
) -> None:
    became = su([(CODE, enrolled(bob).fresh_code())], command="ulimit -H -t; ulimit -H -c")
    assert became.status == 0
    assert became.transcript.split()[-2:] == ["unlimited", "unlimited"]


def test_ctrl_c_at_the_code_ends_su(su: Converse, bob: User, enrolled: Enroll) -> None:
    enrolled(bob)
    assert su([(CODE, CTRL_C)]).status == 128 + signal.SIGINT


def test_ctrl_d_at_the_code_refuses_at_once(su: Converse, bob: User, enrolled: Enroll) -> None:
    enrolled(bob)
    became = su([(CODE, CTRL_D)])
    assert (became.status, became.prompts) == (1, [PASSWORD, CODE])
    assert last_line(became) == "su: Authentication failure"


def test_becoming_a_user_who_has_not_enrolled_needs_no_code(
    su: Converse, alice: User, bob: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    enrolled(alice)
    became = su([])
    assert (became.status, last_line(became)) == (0, bob.name)
    (decision,) = syslog.decisions()
    assert (decision["reason"], decision["user"]) == ("not-enrolled", bob.name)


def test_root_becomes_an_enrolled_user_without_any_question(
    su: Converse, bob: User, enrolled: Enroll, on_terminal: Converse, syslog: SystemLog
) -> None:
    enrolled(bob)
    became = on_terminal(["su", "-", bob.name, "-c", "id -un"])
    assert (became.status, became.prompts, last_line(became)) == (0, [], bob.name)
    assert syslog.lines(ident="pam-totp") == []


def test_no_descriptor_is_left_to_the_session(
    su: Converse, bob: User, enrolled: Enroll, on_terminal: Converse
) -> None:
    """su authenticates in the process that becomes the session: what leaks there, leaks here."""

    def descriptors(became: Conversation) -> list[str]:
        assert became.status == 0
        lines = became.transcript.splitlines()[len(became.prompts) :]
        return [re.sub(r"/proc/\d+", "", line) for line in lines]

    stock = descriptors(on_terminal(["su", bob.name, "-c", SHOW_DESCRIPTORS]))
    assert "0 /dev/pts/0" in stock
    assert descriptors(su([], command=SHOW_DESCRIPTORS)) == stock  # not enrolled
    credential = enrolled(bob)
    codes = [(CODE, credential.incorrect_code()), (CODE, credential.fresh_code())]
    assert descriptors(su(codes, command=SHOW_DESCRIPTORS)) == stock
