# SPDX-License-Identifier: MIT
"""What a program that sends codes leaves running when it has ended, or has not."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.config.settings import load
from pam_totp.sending.hand_over import hand_over
from pam_totp.sending.message import new_message
from tests.host.accounts import User
from tests.host.programs import ACCEPTED
from tests.host.system_log import SystemLog
from tests.sending.application import Application, login
from tests.sending.outbox import (
    NUMBER,
    forget_limits,
    gateway,
    give_contact,
    sending,
)
from tests.trial.change_host import wait_until

CODE_AT = '"code": "'


@pytest.fixture(autouse=True)
def contact(user: User) -> Iterator[None]:
    forget_limits()
    give_contact(user, ("sms", NUMBER))
    yield
    forget_limits()


def running(command: str) -> list[int]:
    """The processes of this very command line."""
    found = subprocess.run(["pgrep", "-xf", command], stdout=subprocess.PIPE, text=True)
    return [int(each) for each in found.stdout.split()]


def test_what_a_program_leaves_running_goes_on_for_its_time(user: User, kept: Path) -> None:
    script = f"cat >{kept}/given; (sleep 0.5; mv {kept}/given {kept}/delivered) >/dev/null 2>&1 &"
    with gateway(script), login(user):
        wait_until(lambda: (kept / "delivered").exists())


def test_what_a_program_leaves_running_is_ended_with_its_time(
    user: User, syslog: SystemLog
) -> None:
    with gateway("sleep 4713 & sleep 4713 >/dev/null 2>&1 </dev/null & exit 0"), login(user):
        syslog.wait_for(f"reason=sent-code user={user.name} ")
        wait_until(lambda: len(running("sleep 4713")) == 2)
        wait_until(lambda: not running("sleep 4713"), 30)
        wait_until(lambda: not sending())
    assert "send-failed" not in "".join(line.message for line in syslog.lines("verdict=ask"))


def test_what_has_a_session_of_its_own_is_not_ended(user: User) -> None:
    """As what exim's sendmail leaves for the delivery."""
    with gateway("setsid sleep 4714 >/dev/null 2>&1 & sleep 4715"), login(user):
        wait_until(lambda: bool(running("sleep 4714") and running("sleep 4715")))
        wait_until(lambda: not running("sleep 4715"), 30)
        wait_until(lambda: not sending())
        (left,) = running("sleep 4714")
        try:
            files = [os.readlink(f"/proc/{left}/fd/{each}") for each in range(3)]
            assert len(os.listdir(f"/proc/{left}/fd")) == 3
            assert files[1:] == ["/dev/null"] * 2
        finally:
            os.kill(left, 9)


def test_neither_a_login_nor_a_command_waits_for_what_is_left_running(
    user: User, kept: Path
) -> None:
    with gateway(f"cat >{kept}/given; sleep 4716 & exit 0"), Application(user) as application:
        application.gate()
        code = (kept / "given").read_text().partition(CODE_AT)[2][:8]
        assert application.verify(code).code == ACCEPTED
        message = new_message("sms", NUMBER, "12345678", user.name, "sshd", load(keeps=False))
        assert hand_over(message, load(keeps=False), lambda _: None, 21) == ""
        wait_until(lambda: len(running("sleep 4716")) == 2)  # neither waited for their end
