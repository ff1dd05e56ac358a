# SPDX-License-Identifier: MIT
"""Programs on a real terminal, answered prompt by prompt as a person would.

A prompt is the last line on the screen, not yet ended, when the program has stopped to wait.
"""

import codecs
import os
import re
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pexpect
import pytest

from tests.host.accounts import User

ENTER_KEY = "\r"
CTRL_C = "\x03"
CTRL_D = "\x04"
CTRL_Z = "\x1a"
HANG_UP = "(the window is closed)"
Dialogue = Sequence[tuple[str, str | Callable[[str], str]]]
"""Pairs of a regular expression for the end of the last line, and what to type there, or what makes
it of all that was shown. Enter is pressed after it, unless it ends in a control character. HANG_UP
closes the window."""

SECONDS_IN_ALL = 30.0
SECONDS_OF_SILENCE = 3.0  # after which a line that looks like a question is one
LOOKS_LIKE_A_QUESTION = re.compile(r"[:?][ ]?\Z")
# How a shell decorates its line: colours, window title, bracketed paste.
ESCAPES = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\x1b\][^\x07]*\x07")


@dataclass
class Conversation:
    """What was shown and asked. `status` is the exit code, 128+N after signal N."""

    status: int = -1
    transcript: str = ""
    prompts: list[str] = field(default_factory=list)


class UnexpectedDialogue(AssertionError):
    """The program asked what it should not have, or ended before it asked what it should."""


class Session:
    """One program on its own terminal, as its controlling terminal, of `size` lines and columns."""

    def __init__(
        self,
        argv: Sequence[str],
        user: User | None,
        variables: dict[str, str],
        size: tuple[int, int] = (24, 80),
    ) -> None:
        command = user.command(list(argv)) if user else list(argv)
        owner = (user.uid if user else 0, 5)  # group tty, as a login would leave it
        self._child = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(user.home) if user else "/root",
            env=os.environ | {"TERM": "dumb"} | variables,
            dimensions=size,
            preexec_fn=lambda: os.fchown(0, *owner),
        )
        self._deadline = time.monotonic() + SECONDS_IN_ALL
        self.screen = ""  # all that was shown
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._answered = 0  # length of the screen when the last answer was typed
        self._hung_up = False
        self.conversation = Conversation()

    def _read(self, seconds: float) -> bool:
        """Add what the program writes within this time to the screen; False if it was silent."""
        if not select.select([self._child.child_fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._child.child_fd, 65536)
        except OSError:  # nobody holds the terminal: the program ended, or login reopens it
            time.sleep(0.02)
            return False
        self.screen += ESCAPES.sub("", self._decoder.decode(data))
        return True

    def _last_line(self) -> str:
        return re.split(r"[\r\n]", self.screen[self._answered :])[-1]

    def answer(self, expected: str, typed: str | Callable[[str], str]) -> None:
        """Wait for the prompt and type; raises if another one comes, the program ends, or 30 s."""
        prompt = re.compile(f"(?:{expected})[ ]?\\Z")
        while not prompt.search(self._last_line()):
            self._wait(expected)
        self._remember_prompt()
        if typed == HANG_UP:
            self._hung_up = True
            return
        if not isinstance(typed, str):
            began = time.monotonic()
            typed = typed(self.screen)
            self._deadline += time.monotonic() - began  # a phone may wait for its next code
        is_key = typed.endswith((CTRL_C, CTRL_D))
        # sudo takes note of Ctrl-C and then waits for a line, if it comes between prompt and wait.
        self._child.delaybeforesend = 0.05 if is_key else None
        self._child.send(typed if is_key else typed + ENTER_KEY)

    def finish(self) -> Conversation:
        """Wait for the end; raises if the program asks once more, or does not end within 30 s."""
        while not self._hung_up and (self._child.isalive() or self._read(0)):
            self._wait("the end")
        by_signal = self._child.signalstatus
        self.conversation.status = 128 + by_signal if by_signal else self._child.exitstatus or 0
        self.conversation.transcript = self.screen.replace("\r\n", "\n")
        return self.conversation

    def _wait(self, expected: str) -> None:
        silent_since = time.monotonic()
        while time.monotonic() < min(silent_since + SECONDS_OF_SILENCE, self._deadline):
            if self._read(0.1):
                return
            if not self._child.isalive() and not self._read(0):
                if expected == "the end":
                    return
                raise self._surprise(f"ended before it asked {expected!r}")
        if LOOKS_LIKE_A_QUESTION.search(self._last_line()):
            raise self._surprise(f"asked {self._last_line()!r} instead of {expected!r}")
        if time.monotonic() >= self._deadline:
            raise self._surprise(f"took more than {SECONDS_IN_ALL:.0f} s to reach {expected!r}")

    def _remember_prompt(self) -> None:
        self.conversation.prompts.append(self._last_line())
        self._answered = len(self.screen)

    def _surprise(self, what: str) -> UnexpectedDialogue:
        return UnexpectedDialogue(f"the program {what}:\n{self.screen}")

    def close(self) -> None:
        """Hang up, as a closed window does, and make sure the program is gone."""
        # Not os.close: ptyprocess would close the same number again, whosever it is by then.
        process = self._child.ptyproc  # type: ignore[attr-defined]
        process.fileobj.close()
        process.closed = True
        self._child.child_fd = -1
        self._child.closed = True
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
            self._child.wait()


def converse(
    argv: Sequence[str],
    dialogue: Dialogue = (),
    user: User | None = None,
    variables: dict[str, str] | None = None,
    size: tuple[int, int] = (24, 80),
) -> Conversation:
    """Run a program as root or as `user` on a terminal and hold the dialogue to its end."""
    session = Session(argv, user, variables or {}, size)
    try:
        for expected, typed in dialogue:
            session.answer(expected, typed)
        return session.finish()
    finally:
        session.close()


@pytest.fixture
def on_terminal() -> Callable[..., Conversation]:
    """`on_terminal(["su", "bob"], [("Password:", "…")], user=alice)`."""
    return converse
