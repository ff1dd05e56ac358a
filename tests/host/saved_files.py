# SPDX-License-Identifier: MIT
"""The files of a secret's folder in what strace wrote, called alike in every run of a command.

A test that needs "the Nth call of this name" looks up N by the file, so that another file that is
saved, or tried first, moves nothing.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = "pam-totp"
# What the trial of the place saves, before a secret is shown.
TRIED = "secret.new-tried"
_FILE = re.compile(r'["/]((?:secret|recovery|\.gitignore)(?:\.new-[\w.-]+)?)[">]')
_RANDOM = re.compile(r"(?<=\.new)-[0-9a-f]{16}\b")
_CALL = re.compile(r"(?:(\d+) +)?(\w+)\(")


def called(name: str) -> str:
    """A file's name without its random part: "secret.new" is the secret's temporary file."""
    return _RANDOM.sub("", name)


def files_of(line: str) -> list[str]:
    """The files that a call names, or (with strace's -y) that it has open."""
    return [called(name) for name in _FILE.findall(line)]


def file_of(line: str) -> str:
    """The first of them, or FOLDER, or nothing; whether or not the call fails."""
    call = line.rpartition(" = ")[0] or line
    files = files_of(call) or [FOLDER if f"/.config/{FOLDER}>" in call else ""]
    return files[0]


def made_in(lines: list[str]) -> list[str]:
    """The files that were made, but for those that only try the place; sorted."""
    made = [file_of(line) for line in lines if "O_CREAT" in line]
    return sorted(name for name in made if name and not name.startswith(TRIED))


class OnFile(NamedTuple):
    """A call: the `number`th of its name in its process. file: as file_of has it."""

    name: str
    number: int
    file: str
    line: str


def calls_on_files(trace: Path) -> Iterator[OnFile]:
    """All calls of a trace, those on no such file too."""
    counted: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _CALL.match(line)
        if found:
            process, name = found[1], found[2]
            counted[process, name] += 1
            yield OnFile(name, counted[process, name], file_of(line), line)
