# SPDX-License-Identifier: MIT
"""Somebody at a terminal who runs `pam-totp`, reads what it shows and types what a phone says."""

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import pexpect
import pyotp
import pytest

from tests.host.accounts import User
from tests.host.programs import COMMAND

SECONDS = 20
URI = re.compile(rb"URI:  (otpauth://\S+)")
CODE_PROMPT = "Code from the app: "
CHECK_PROMPT = "Verification code: "
PASSWORD_PROMPT = "System password of "
CTRL_C, CTRL_D = "\x03", "\x04"


def secret_file(user: User) -> Path:
    return user.home / ".config" / "pam-totp" / "secret"


def run(
    user: User | None, *arguments: str, typed: str | bytes = "", **variables: str
) -> "Finished":
    """Run `pam-totp` without a terminal, as `user` or as root, with all of the input at once."""
    command = ["/usr/bin/env", *(f"{key}={value}" for key, value in variables.items()), COMMAND]
    with tempfile.TemporaryFile() as answers:  # a pipe takes 64 KiB, and what follows comes later
        answers.write(typed.encode() if isinstance(typed, str) else typed)
        answers.seek(0)
        done = subprocess.run(
            user.command([*command, *arguments]) if user else [*command, *arguments],
            cwd=user.home if user else "/root",
            stdin=answers,
            capture_output=True,
            start_new_session=True,  # or it would find the terminal that pytest was started from
            timeout=SECONDS,
        )
    return Finished(done.returncode, done.stdout, done.stderr)


class Finished:
    """How a command ended: `status`, and what it wrote to each stream (raw and as text)."""

    def __init__(self, status: int, output: bytes, errors: bytes) -> None:
        self.status = status
        self.raw = output + errors
        text = output.decode("utf-8", "replace").replace("\r\n", "\n")
        # At a terminal an error is as wide as the terminal; here it is one line again.
        self.output = re.sub(
            r"^pam-totp: error: .*?(?=^hint: )",
            lambda error: " ".join(error[0].split()) + "\n",
            text,
            flags=re.MULTILINE | re.DOTALL,
        )
        self.errors = errors.decode("utf-8", "replace")
        assert "Traceback" not in self.output + self.errors
        assert "Error:" not in self.output + self.errors, "a Python exception was shown"

    @property
    def error(self) -> str:
        """What the first of the two lines on standard error says."""
        error, hint = self.errors.splitlines()
        assert error.startswith("pam-totp: error: ")
        assert hint.startswith("hint: ")
        assert len(hint) > len("hint: ")
        return error.removeprefix("pam-totp: error: ")


class Phone:
    """An authenticator app that read a URI; codes come from pyotp."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.account = unquote(urlsplit(uri).path.lstrip("/"))
        self.parameters = {key: value for key, (value,) in parse_qs(urlsplit(uri).query).items()}
        self.secret = self.parameters["secret"]
        self.digits = int(self.parameters.get("digits", "6"))
        self.period = int(self.parameters.get("period", "30"))
        self.algorithm = self.parameters.get("algorithm", "SHA1")
        self._generator = pyotp.HOTP(s=self.secret, digits=self.digits, digest=self._new_hash)

    def _new_hash(self, content: bytes = b"") -> "object":
        import hashlib

        return hashlib.new(self.algorithm.lower(), content)

    def code(self, offset: int = 0) -> str:
        """The code of the present step, or of one `offset` steps away."""
        return str(self._generator.at(int(time.time()) // self.period + offset))

    def repeats(self, offset: int, here: int = 0) -> bool:
        """Whether the code of `offset` steps from `here` is that of a nearer step too, or soon will
        be. here: in steps from now.

        With half a day between them it is in one of 350 secrets.
        """
        code, reach = self.code(here + offset), abs(offset) + 1
        others = [each for each in range(-reach, reach + 1) if each != offset]
        return any(self.code(here + each) == code for each in others)

    def code_of_another_time(self, offset: int, here: int = 0) -> str:
        """Of the first step at least `offset` steps from `here` that is taken for no nearer one."""
        further = 1 if offset > 0 else -1
        while self.repeats(offset, here):
            offset += further
        return self.code(here + offset)

    def incorrect_code(self) -> str:
        """A code of no step within 15 hours of now: the verifier tells a skewed clock apart."""
        steps = 15 * 3600 // self.period
        near = {self.code(offset) for offset in range(-steps, steps)}
        return next(code for n in range(10**6) if (code := f"{n:0{self.digits}}") not in near)


class Person:
    """One command on a terminal of its own. Reads and types; the end is `finish` or `hang_up`."""

    def __init__(
        self,
        user: User,
        *arguments: str,
        size: tuple[int, int] = (24, 80),
        through: Sequence[str] = (),
        program: str = COMMAND,
        **variables: str,
    ) -> None:
        given = {"TERM": "xterm", "LANG": "C.UTF-8"} | variables
        assignments = [f"{key}={value}" for key, value in given.items()]
        command = user.command([*through, "/usr/bin/env", *assignments, program, *arguments])
        # Bytes in, bytes out; its types know of text alone.
        self._child: Any = pexpect.spawn(
            command[0], command[1:], cwd=str(user.home), dimensions=size, timeout=SECONDS
        )
        self._child.delaybeforesend = None
        self.shown = b""  # everything up to the last text that was waited for
        self.pid = self._child.pid

    def read_until(self, text: str) -> None:
        """Wait until the program shows this; fails with all that was shown if it never does."""
        try:
            self._child.expect_exact(text.encode())
        except (pexpect.EOF, pexpect.TIMEOUT):
            self._fail(f"never showed {text!r}")
        self.shown += self._child.before + self._child.after

    def _fail(self, what: str) -> NoReturn:
        shown = (self.shown + self._child.before).decode("utf-8", "backslashreplace")
        raise AssertionError(f"the program {what}:\n{shown}") from None

    def type_line(self, text: str) -> None:
        self._child.send(text + "\r")

    def press(self, key: str) -> None:
        self._child.send(key)

    def answer(self, prompt: str, text: str) -> None:
        self.read_until(prompt)
        self.type_line(text)

    def scan(self) -> Phone:
        """Read on to the prompt for a code, and let a phone scan what was shown before it."""
        self.read_until(CODE_PROMPT)
        return Phone(URI.findall(self.shown)[-1].decode())

    def finish(self) -> Finished:
        """Wait for the end. Standard error is on the terminal too: it is part of `output`."""
        try:
            self._child.expect_exact(pexpect.EOF)
        except pexpect.TIMEOUT:
            self._fail("asks on")
        self.shown += self._child.before
        self._child.wait()
        self._child.ptyproc.delayafterclose = 0  # it has ended: there is nothing to wait for
        self._child.close()
        status = self._child.exitstatus
        return Finished(-self._child.signalstatus if status is None else status, self.shown, b"")

    def hang_up(self) -> None:
        """Close the terminal, as a closed window does, and wait for the program to end."""
        self._child.close(force=False)
        if self._child.isalive():
            self._child.wait()

    def kill(self, number: int) -> None:
        self._child.kill(number)
        self._child.wait()

    def end(self) -> None:
        if not self._child.closed:
            self._child.close(force=True)


Start = Callable[..., Person]
"""The fixture `start`."""


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(user, "enroll", …)`: the command on a terminal, gone when the test ends."""
    persons: list[Person] = []

    def begin(*arguments: Any, **options: Any) -> Person:
        persons.append(Person(*arguments, **options))
        return persons[-1]

    yield begin
    for person in persons:
        person.end()


def without_time(saved: str) -> str:
    """What a secret file holds, without the times when its devices were added."""
    return re.sub(r"&added=[0-9]{8}T[0-9]{4}Z(?= )", "", saved)


def enroll(start: Start, user: User, *arguments: str) -> Phone:
    """Enroll a user who is not enrolled yet; the phone that holds the new secret."""
    person = start(user, "enroll", *arguments)
    phone = person.scan()
    person.type_line(phone.code())
    finished = person.finish()
    assert finished.status == 0, finished.output
    return phone
