# SPDX-License-Identifier: MIT
"""`make demo`: what a person does at it, with a phone, slips included."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pyotp
import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential

REPOSITORY = Path(__file__).resolve().parents[1]
COMMAND = [str(REPOSITORY / "tests/host/enter"), "/usr/bin/python3", "scripts/demo"]
PASSWORD = "correct horse"
ALICE = User("alice", PASSWORD, 0, 0, Path("/home/alice"))


class Demo:
    """The demo at a terminal, in a host of its own, and the phone of who plays alice."""

    def __init__(self) -> None:
        self.terminal: pexpect.spawn[str] = pexpect.spawn(
            COMMAND[0], COMMAND[1:], cwd=REPOSITORY, encoding="utf-8", dimensions=(50, 100)
        )
        self.answer("Do you have one", "y")
        self.terminal.expect(r"secret=([A-Z2-7]+)")
        found = self.terminal.match
        assert isinstance(found, re.Match)
        self.phone = Credential(ALICE, found[1])
        self.answer("Code from the app:", pyotp.TOTP(self.phone.secret).now())

    def answer(self, prompt: str, typed: str) -> None:
        self.terminal.expect(prompt)
        self.terminal.sendline(typed)

    def log_in(self, heading: str, *codes: str, password: str = PASSWORD) -> None:
        self.terminal.expect(f"== ssh with {re.escape(heading)}")
        self.answer("Password: ", password)
        for code in codes:
            self.answer("Verification code: ", code)

    def end(self) -> tuple[int, str]:
        """Exit code, and what was shown since the last answer."""
        self.terminal.expect(pexpect.EOF)
        self.terminal.close()
        return self.terminal.exitstatus or 0, self.terminal.before or ""


@pytest.fixture
def demo() -> Iterator[Demo]:
    demo = Demo()
    yield demo
    demo.terminal.close(force=True)


def test_a_persons_slips_are_told_by_the_logs_reason_and_tried_again(demo: Demo) -> None:
    wrong = [demo.phone.incorrect_code()]
    demo.log_in("an incorrect code", password="wrong")
    demo.terminal.expect("No code was checked. If the password was wrong")
    demo.terminal.expect("reason=wrong-code in the log. Try again.")
    demo.log_in("an incorrect code", *wrong * 3)
    demo.log_in("the correct code", demo.phone.fresh_code())
    used = demo.phone.fresh_code()
    demo.log_in("the same code again", used)
    demo.terminal.expect("=> accepted")
    demo.terminal.expect("reason=reused-code in the log. Try again.")
    demo.log_in("the same code again", used, *wrong * 2)
    code, shown = demo.end()
    assert code == 0, shown
    assert "accepted, and the same one again" in shown


def test_a_demo_that_is_interrupted_says_so_in_two_lines(demo: Demo) -> None:
    demo.terminal.expect("Password: ")
    demo.terminal.sendintr()
    code, shown = demo.end()
    assert code == 130
    assert shown.strip().endswith("demo: error: interrupted\r\nhint: make demo")


def test_a_demo_without_a_person_plays_all_logins_to_the_end() -> None:
    """It writes more to the log than a socket holds, and nobody may wait for that."""
    done = subprocess.run(
        COMMAND, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, timeout=300
    )
    shown = done.stdout.decode("utf-8", "replace")
    assert (done.returncode, done.stderr) == (0, b""), shown
    assert "=> refused" in shown and "=> accepted" in shown
    assert "refused.\nThe throw-away host is removed" in shown
