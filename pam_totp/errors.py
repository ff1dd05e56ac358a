"""The one error that commands raise for people, and how it reads on a terminal."""

import os
import shlex
import sys


class Error(Exception):
    """What is wrong, and the next command to type. Caught once, in pam_totp.main.main."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def for_root(message: str) -> Error:
    """The fault of a command that root alone may run: the hint is that command, by sudo."""
    return Error(message, f"sudo {shlex.join(['pam-totp', *sys.argv[1:]])}")


def give_output_up() -> None:
    """Whoever read the output has gone, or it cannot be written: the interpreter must not try again
    at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
