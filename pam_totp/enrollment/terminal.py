"""Talking to the one person at the terminal.

What is asked and answered goes to standard output and comes from standard input; errors go to
standard error (pam_totp.main). Nothing secret is ever written anywhere else.
"""

import getpass
import os
import sys
import warnings

from pam_totp.errors import Error, give_output_up


class Terminal:
    """What standard output can show. `columns` and `rows` are 0 where it is no terminal."""

    def __init__(self) -> None:
        self.columns = self.rows = 0
        if sys.stdout.isatty():
            self.columns, self.rows = os.get_terminal_size(sys.stdout.fileno())
        self.colour = self.columns > 0 and os.environ.get("TERM", "dumb") != "dumb"
        # Python takes the C locale for UTF-8 and says so only in its UTF-8 mode (PEP 540, and
        # environment and C library already changed by PEP 538); the terminal may not agree.
        self.utf8 = sys.stdout.encoding.lower() == "utf-8" and not sys.flags.utf8_mode


def ask(prompt: str) -> str:
    """One line of standard input. Raises Error at its end."""
    print(prompt, end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        print()
        raise Error("no answer: nothing was changed", "run it at a terminal, and answer there")
    if not sys.stdin.isatty():
        print()
    return line.rstrip("\n")


def tell(text: str, unseen: Error) -> None:
    """Prints what took effect. Raises `unseen`, with the cause, where nobody will have seen it."""
    try:
        print(text, flush=True)
    except OSError as failure:
        give_output_up()
        raise Error(f"{unseen.message}: {failure.strerror}", unseen.hint) from None


def ask_password(prompt: str) -> str:
    """A line typed without echo; from standard input where there is no terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except EOFError:
            raise Error("no password: nothing was changed", "run the command again") from None


def describe_seconds(seconds: int) -> str:
    """A length of time for people: "3 min 20 s"."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
