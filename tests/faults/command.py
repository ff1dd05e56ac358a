# SPDX-License-Identifier: MIT
"""`pam-totp enroll` and `pam-totp recovery-codes` at a terminal, answered rightly, and perhaps
killed on the way."""

import contextlib
import io
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pexpect
import pyotp

from tests.faults.subject import Subject
from tests.host.programs import COMMAND

SECONDS_TO_ANSWER = 30
_CODE_OF_TEN = re.compile(r"^  ((?:[a-z2-7]{4}-){3}[a-z2-7]{4})\r$", re.MULTILINE)


@dataclass(frozen=True)
class Dialogue:
    """What became of a command. status: 128+N after signal N; uri: the new secret's, if it was
    shown; codes: the recovery codes, if they were."""

    status: int
    shown: str
    uri: str
    codes: list[str]

    @property
    def killed(self) -> bool:
        return self.status == 128 + signal.SIGKILL

    @property
    def new_secret(self) -> bytes:
        """Without the time of its making."""
        return f"{self.uri} phone\n".encode()


def enroll(subject: Subject, through: Sequence[str] = (), kill_after: float = 0) -> Dialogue:
    """Replaces the user's secret. `through`: a command that runs it; `kill_after`: seconds."""
    answers: dict[str, Callable[[str], str]] = {
        r"System password of \w+: ": lambda _: subject.user.password,
        "Code from the app: ": lambda shown: _code_of(_uri_in(shown)),
    }
    return _converse(subject, "enroll", answers, through, kill_after)


def renew(subject: Subject, through: Sequence[str] = (), kill_after: float = 0) -> Dialogue:
    """Replaces the user's recovery codes."""
    answers: dict[str, Callable[[str], str]] = {
        r"Code from the app .*: ": lambda _: subject.credential.code()
    }
    return _converse(subject, "recovery-codes", answers, through, kill_after)


def _converse(
    subject: Subject,
    verb: str,
    answers: dict[str, Callable[[str], str]],
    through: Sequence[str],
    kill_after: float,
) -> Dialogue:
    """Answers each prompt, a regular expression, given all that was shown up to it."""
    argv = [*through, *subject.user.command([COMMAND, verb])]
    child = pexpect.spawn(
        argv[0],
        argv[1:],
        cwd=str(subject.user.home),
        env=os.environ | {"LANG": "C.UTF-8", "TERM": "dumb"},
        dimensions=(24, 200),
        timeout=SECONDS_TO_ANSWER,
        encoding="utf-8",
        preexec_fn=lambda: os.fchown(0, subject.user.uid, 5),
    )
    child.delaybeforesend = None
    everything = io.StringIO()
    child.logfile_read = everything
    questions: list[Any] = [*answers, pexpect.EOF]
    assert child.pid is not None
    with _killed_after(child.pid, kill_after):
        while (number := child.expect(questions)) < len(answers):
            with contextlib.suppress(OSError):  # it is gone: the end of its output says so next
                child.sendline(list(answers.values())[number](everything.getvalue()))
        child.wait()
    child.ptyproc.delayafterclose = 0  # type: ignore[attr-defined]  # it has ended
    child.close()
    shown = everything.getvalue()
    by_signal = child.signalstatus
    status = 128 + by_signal if by_signal else child.exitstatus
    assert status is not None
    return Dialogue(status, shown, _uri_in(shown), _CODE_OF_TEN.findall(shown))


@contextlib.contextmanager
def _killed_after(process: int, seconds: float) -> Iterator[None]:
    """Kills the process at that time, unless the block ended before. 0: does not."""
    over = threading.Event()
    handle = os.pidfd_open(process)  # a number may be somebody else's by then

    def kill() -> None:
        if not over.wait(seconds):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    if seconds:
        killer.start()
    try:
        yield
    finally:
        over.set()
        if seconds:
            killer.join()
        os.close(handle)


def _uri_in(shown: str) -> str:
    found = re.search(r"URI:  (\S+)\r\n", shown)
    return found[1] if found else ""


def _code_of(uri: str) -> str:
    secret = uri.partition("secret=")[2].partition("&")[0]
    return str(pyotp.TOTP(secret).generate_otp(int(time.time()) // 30))
