# SPDX-License-Identifier: MIT
"""Talking to the one person at the terminal.

What is wanted goes to standard output; questions go to the terminal, also where standard output was
sent elsewhere, and answers come from standard input; errors go to standard error (pam_totp.main).
Nothing secret is ever written anywhere else. What is quoted reaches the terminal as text alone.
"""

import fcntl
import functools
import getpass
import os
import select
import shlex
import socket
import sys
import termios
from typing import TextIO

from pam_totp.errors import Error, PrintableStream, again, give_output_up, printable
from pam_totp.listing import fit

NO_ANSWER = Error("no answer; nothing was changed", "run it at a terminal, and answer there")


def say(text: str) -> None:
    """A line for the person who answers, beside what the command is for: to the terminal, if there
    is one, also where standard output was sent elsewhere."""
    stream = _terminal() or sys.stdout
    print(fit(text, stream), file=stream, flush=True)


def ask(prompt: str) -> str:
    """One line of standard input. Raises Error at its end."""
    sys.stdout.flush()
    # Whose answers come from a program and are there already is asked nothing.
    is_asked = sys.stdin.isatty() or not _is_readable(sys.stdin)
    if is_asked:
        print(prompt, end="", file=_terminal() or sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        _end_line()
        raise
    if is_asked and not (line and sys.stdin.isatty()):
        print(file=_terminal() or sys.stderr)
    if not line:
        raise NO_ANSWER
    return line.rstrip("\n")


def refuse_unanswered() -> None:
    """For what must not be begun where nobody can answer. Raises the Error of `ask` if standard
    input is closed or empty."""
    if is_at_its_end():
        raise NO_ANSWER


def is_at_its_end() -> bool:
    """Whether standard input is at its end already, of which nothing was read yet."""
    try:
        if os.isatty(0) or not select.select([0], [], [], 0)[0]:
            return False
        waiting = fcntl.ioctl(0, termios.FIONREAD, bytes(4))
        return waiting == bytes(4)
    except OSError:
        return True  # it is closed, or /dev/null


def is_confirmed(question: str) -> bool:
    """Whether the answer to a question is yes; an empty one is no. Raises Error without any."""
    return ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")


@functools.cache
def _terminal() -> TextIO | None:
    """The terminal at which the person is who answers; None without any."""
    if sys.stdout.isatty():
        return sys.stdout
    try:
        terminal = open("/dev/tty", "wb")  # noqa: SIM115 - open as long as the process
        return PrintableStream(terminal, sys.stdout.encoding, "replace", line_buffering=True)
    except OSError:
        return sys.stderr if sys.stdin.isatty() and sys.stderr.isatty() else None


def _end_line() -> None:
    """After Ctrl-C; main does it where standard output is the terminal."""
    terminal = _terminal()
    if terminal is not None and terminal is not sys.stdout:
        print(file=terminal, flush=True)


def _is_readable(stream: TextIO) -> bool:
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def tell(text: str, unseen: Error) -> None:
    """Prints what took effect. Raises `unseen`, with the cause, where nobody will have seen it."""
    try:
        print(text, flush=True)
    except OSError as failure:
        give_output_up()
        raise Error(f"{unseen.message}: {failure.strerror}", unseen.hint) from None


def ask_password(prompt: str, what: str = "password") -> str:
    """A password, or another secret (`what`): a line typed without echo, or one that a program has
    passed on already. Raises Error where it would be typed at a terminal that shows it: an ssh
    client's, if this end has none."""
    sys.stdout.flush()
    try:
        if _terminal() is not None or sys.stdin.isatty():
            return getpass.getpass(printable(prompt))
        if "SSH_CONNECTION" in os.environ or not _is_readable(sys.stdin):
            command = again()
            if "SSH_CONNECTION" in os.environ:  # at the other end a second shell reads it
                words = ["ssh", "-t", socket.gethostname(), *command.split(" ")]
                command = shlex.join(words)
            message = f"without a terminal the {what} would be shown; nothing was changed"
            raise Error(message, command)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")
    except EOFError:
        _end_line()
        if sys.stdout.isatty():
            print()
        raise Error(f"no {what}; nothing was changed", "run it at a terminal") from None
    except KeyboardInterrupt:
        _end_line()
        raise


def describe_seconds(seconds: int) -> str:
    """A length of time for people: "3 min 20 s"."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
