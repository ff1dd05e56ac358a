# SPDX-License-Identifier: MIT
"""The sshds that run on this machine: one may have a configuration, options or a name of its own,
and so be a door that the usual configuration says nothing of.

- A process that is not root's MUST NOT count: any user can call a program sshd, and have it show
  arguments, such as files that root would then open.
"""

import dataclasses
import os
import re
from collections.abc import Iterator

from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_config import PATH
from pam_totp.stack.sshd_match import Login

PROC, NAME = "/proc", "sshd"
# A listening sshd shows its arguments so, without quotes.
_TITLE = re.compile(r"(\S+): \S+((?: .*)?) \[listener\] ")
# sshd(8). Of these -f, -o and -p change who may log in.
_WITH_ARGUMENT, _WITHOUT = "bCcEfghkopQu", "46DdeGiqrTtV"


@dataclasses.dataclass(frozen=True)
class Server:
    """An sshd. path: of its configuration; options: what else changes it, as its arguments; name:
    of its program, which before OpenSSH 9.8 is the PAM service."""

    path: str = PATH
    options: tuple[str, ...] = ()
    name: str = NAME

    @property
    def words(self) -> str:
        """In which way it is not the usual one; empty for that."""
        arguments = ([f"-f {self.path}"] if self.path != PATH else []) + list(self.options)
        called = [] if self.name == NAME else [f"called {self.name}"]
        other = called + ([f"with {' '.join(arguments)}"] if arguments else [])
        return f"at the sshd {' '.join(other)}" if other else ""


def servers() -> list[Server]:
    """The usual one, running or not, and every other that runs. Raises Unknown."""
    return list(dict.fromkeys([Server(), *_running(PROC)]))


def services() -> set[str]:
    """The PAM services of those that run, by their settings outside of Match blocks. Raises
    Unknown."""
    found = set[str]()
    for each in dict.fromkeys(_running(PROC)):
        settings = sshd.settings_of(Login("nobody"), each.path, each.options)
        found.add(sshd.service_of(settings, each.name))
    return found


def server_of(title: str) -> Server | None:
    """The sshd that shows this title; None for another process. Raises Unknown."""
    found = _TITLE.match(title)
    if found is None:
        return None
    path, options, words = PATH, list[str](), found[2].split()
    while words:
        word = words.pop(0)
        letters, argument = word[1:], ""
        while letters and letters[0] in _WITHOUT:
            letters = letters[1:]
        if letters and letters[0] in _WITH_ARGUMENT:
            argument = letters[1:] or (words.pop(0) if words else "")
            letters = letters[:1]
        if not word.startswith("-") or (letters and not argument):
            raise Unknown(f"the arguments of an sshd that runs cannot be told apart:{found[2]}")
        if letters == "f":
            path = argument
        elif letters in ("o", "p"):
            options.append(f"-{letters}{argument}")
    return Server(path, tuple(options), found[1])


def is_of_root(process: int | str, proc: str = PROC) -> bool:
    """Whether a process and its program are root's. To be asked after all that is read of it: it
    may have been another program of the user's before, and sshd becomes none that is root's."""
    try:
        is_program = os.stat(f"{proc}/{process}/exe").st_uid == 0
        return is_program and os.stat(f"{proc}/{process}").st_uid == 0
    except OSError:
        return False


def _running(proc: str) -> Iterator[Server]:
    here = _link(f"{proc}/self/ns/mnt")
    for number in filter(str.isdigit, os.listdir(proc)):
        program = _link(f"{proc}/{number}/exe").removesuffix(" (deleted)")
        # Another view of the disk is another system's: a container's.
        if os.path.basename(program) == NAME and _link(f"{proc}/{number}/ns/mnt") == here:
            try:
                with open(f"{proc}/{number}/cmdline", "rb") as file:
                    title = file.read().decode(errors="replace").rstrip("\0")
            except OSError:
                continue  # it has ended
            server = server_of(title) if is_of_root(number, proc) else None
            if server is not None:
                yield server


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
