# SPDX-License-Identifier: MIT
"""The one error that commands raise for people, and how all that they say reads on a terminal."""

import io
import os
import shlex
import sys
from collections.abc import Sequence


class Error(Exception):
    """What is wrong, and the next command to type. Caught once, in pam_totp.main.main."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoUser(Error):
    """This machine has no user of the name."""


class UsageError(Error):
    """Wrong usage that the parser of the options cannot see: exit code 2."""


def for_root(message: str) -> Error:
    """The error of a command that must be run as root; the hint is that command with sudo."""
    return Error(message, f"sudo {again()}")


def again(*options: str, words: Sequence[str] | None = None) -> str:
    """The command that was typed, or these words in its place, with more options: as it can be
    pasted, whatever names are in it."""
    words = sys.argv[1:] if words is None else words
    at = words.index("--") if "--" in words else len(words)  # behind it all are names
    return shlex.join(["pam-totp", *words[:at], *options, *words[at:]])


def command(verb: str, *names: str, options: Sequence[str] = (), user: str | None = None) -> str:
    """Another command of ours, of root's for a user if one is given, as it can be pasted. names: of
    users, or ids: none begins with a dash."""
    of_user = ["--user", user] if user is not None else []
    return shlex.join(["pam-totp", *verb.split(), *names, *options, *of_user])


def option(name: str, value: str) -> list[str]:
    """The words of an option with a value of any kind."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def quoted(path: str) -> str:
    """The name of a file, as it can be pasted behind any command."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def give_output_up() -> None:
    """Discards further output, which cannot be written: else the interpreter would try again at its
    end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def printable(text: str) -> str:
    """The text on one line, without anything that moves the cursor or means more to a terminal:
    names, homes and files may hold what their owners like."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class PrintableStream(io.TextIOWrapper):
    """Standard output or standard error, on which nothing but text and line ends is written."""

    def write(self, text: str) -> int:
        """Writes the text, made printable."""
        return super().write("\n".join(printable(line) for line in text.split("\n")))


def print_only_text() -> None:
    """From here on both streams take text alone; drawings with colours go by `draw`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            encoding, by_line = stream.encoding, stream.line_buffering
            made = PrintableStream(
                stream.detach(), encoding, "backslashreplace", line_buffering=by_line
            )
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)


def draw(drawing: str) -> None:
    """Prints a drawing as it is, colours included. Only for what is made here."""
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{drawing}\n".encode(sys.stdout.encoding))
    sys.stdout.flush()
