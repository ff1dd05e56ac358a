# SPDX-License-Identifier: MIT
"""The next command for a fault of a PAM stack: what repairs a line, or shows it. Pure."""

import re
import shlex
from collections.abc import Sequence

from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service
from pam_totp.stack.totp_lines import MODULE

EDIT = "sed -i --follow-symlinks"
# What `pam-totp enable` puts around its lines, and can therefore put anew.
MARK = b"# begin of pam-totp's lines"
_STEP = re.compile(r"(/.+), line (\d+): (.*)", re.DOTALL)
_CONTROL = r"[Aa][Uu][Tt][Hh][ \t]*(\[[^]]*\]|[[:alnum:]_]*)[ \t]*"


def is_marked(service: Service) -> bool:
    """Whether it has lines that `pam-totp enable` wrote."""
    return any(MARK in file.content for file in service.files)


def of_line(service: Service, line: Line) -> str:
    """For a fault of this line: written anew, if `pam-totp enable` wrote it; else looked at."""
    if is_marked(service):
        return f"pam-totp enable {shlex.quote(service.name)}"
    return look_at(line.file, line.number)


def look_at(file: str, number: int | str) -> str:
    """Opens the file at the line."""
    return f"editor +{number} {shlex.quote(file)}"


def require(file: str, number: int | str) -> str:
    """Makes a line of ours `required`."""
    edit = shlex.quote(rf"{number}s/^{_CONTROL}/auth required /")
    return f"{EDIT} -E {edit} {shlex.quote(file)}"


def without_word(line: Line, word: str) -> str:
    """Takes a word out of a line."""
    pattern = re.sub(r"([][\\/.*^$])", r"\\\1", word)
    edit = shlex.quote(rf"{line.number}s/[ \t]*{pattern}//")
    return f"{EDIT} {edit} {shlex.quote(line.file)}"


def include(line: Line) -> str:
    """Makes a substack an `@include`, which a wrong password ends as a whole."""
    edit = shlex.quote(rf"{line.number}s/^{_CONTROL}/@include /")
    return f"{EDIT} -E {edit} {shlex.quote(line.file)}"


def of_way(name: str, steps: Sequence[str]) -> str:
    """For a way around the code, of which each step begins with its place."""
    found = [step.groups() for step in map(_STEP.fullmatch, steps) if step]
    for file, number, rest in found:
        control, _, module = rest.partition(": ")[0].rpartition(" ")
        if module == MODULE and control not in ("required", "requisite"):
            return require(file, number)
    if not found:
        return f"pam-totp explain root --service {shlex.quote(name)}"
    # Of sshd's settings, the one that makes a key alone enough.
    methods = [step for step in found if step[2].startswith("authenticationmethods ")]
    file, number, _ = (methods or found)[-1]
    return look_at(file, number)
