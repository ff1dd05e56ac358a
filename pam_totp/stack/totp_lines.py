# SPDX-License-Identifier: MIT
"""What a pam_totp.so line does, by its module and options (pam_totp/pam/pam_totp.c)."""

import itertools
import re

from pam_totp.rules.reasons import BY_OTHERS
from pam_totp.stack.lines import Line

MODULE = "pam_totp.so"
_OPTION = re.compile(r"tries=[1-9]|combined(=[678])?|prompt=.*|publickey_passed|debug", re.DOTALL)
# pam_exec(8). `log=` of any file is none that runs.
_OF_EXEC = re.compile(
    r"debug|expose_authtok|use_first_pass|stdout|quiet(_log)?|seteuid|(log|type)=.*"
)
_VERIFY = re.compile(r"/pam-totp/verify$")


def asks(line: Line) -> bool:
    """Whether it asks for a code, or verifies one that was entered before."""
    if line.is_substack:
        return False
    if line.module_name == MODULE:
        return not has_option(line, "publickey_passed") and not has_option(line, "combined")
    return is_verifier(line)


def is_verifier(line: Line) -> bool:
    """Whether it is pam_exec with the program that verifies a code."""
    program, *arguments = _command(line)
    return _VERIFY.search(program) is not None and arguments == []


def is_note(line: Line) -> bool:
    """Whether it only logs what a line before it has accepted: with such a word `verify` verifies
    nothing, and fails."""
    program, *arguments = _command(line)
    return _VERIFY.search(program) is not None and len(arguments) == 1 and arguments[0] in BY_OTHERS


def _command(line: Line) -> list[str]:
    """What pam_exec runs: from its first word that is no option on; an empty word for none."""
    words = line.arguments if line.module_name == "pam_exec.so" else ()
    return list(itertools.dropwhile(_OF_EXEC.fullmatch, words)) or [""]


def wants_key(line: Line) -> bool:
    """Whether it asks sshd for an accepted public key."""
    return has_option(line, "publickey_passed")


def is_combined(line: Line) -> bool:
    """Whether it takes the code off the answer that has the password."""
    return has_option(line, "combined")


def has_option(line: Line, option: str) -> bool:
    """Whether it is a line of the module with an option, `combined=8` counting as combined."""
    is_there = any(word.partition("=")[0] == option for word in line.arguments)
    return line.module_name == MODULE and is_there


def invalid_options(line: Line) -> list[str]:
    """What the module refuses everybody for."""
    if line.module_name != MODULE:
        return []
    return [word for word in line.arguments if not _OPTION.fullmatch(word)]
