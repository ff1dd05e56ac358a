# SPDX-License-Identifier: MIT
"""Following the log of logins: journald, the file of syslogd, or, without both, root's records.

Any user may write to the log. So what is read here is shown, and decides nothing (recorded.py).
"""

import json
import os
import pwd
import shutil
import subprocess
import time
from typing import Protocol

from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user import attempts
from pam_totp.rules.reasons import Failure
from pam_totp.setup.attempt import SSHD, Line, line_of

FILES = ("/var/log/auth.log", "/var/log/secure", "/var/log/messages")
_JOURNALD = "/run/systemd/journal/socket"
_MAX_BYTES = 1 << 20  # of one look


class Log(Protocol):
    """name: for the administrator. lines: what was logged since the last look."""

    name: str

    def lines(self) -> list[Line]: ...

    def close(self) -> None: ...


def follow() -> Log:
    """The log from now on."""
    if os.path.exists(_JOURNALD) and shutil.which("journalctl"):
        return _Journal()
    for path in FILES:
        if os.path.isfile(path):
            return _File(path)
    return _Records()


class _Journal:
    name = "the journal"

    def __init__(self) -> None:
        programs = [f"--identifier={program}" for program in ("pam-totp", *SSHD)]
        command = ["journalctl", "--follow", "--output=json", f"--since=@{int(time.time())}"]
        self._process = subprocess.Popen(
            [*command, *programs, "_UID=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._rest = b""

    def lines(self) -> list[Line]:
        self._rest += _read(self._output)
        *whole, self._rest = self._rest.split(b"\n")
        return [line for text in whole if (line := _line_of_journal(text)) is not None]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _line_of_journal(text: bytes) -> Line | None:
    try:
        fields = json.loads(text)
        return Line(str(fields["SYSLOG_IDENTIFIER"]), str(fields["MESSAGE"]))
    except (ValueError, TypeError, KeyError):
        return None


class _File:
    def __init__(self, path: str) -> None:
        self.name = path
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._file, 0, os.SEEK_END)
        self._rest = b""

    def lines(self) -> list[Line]:
        if os.lseek(self._file, 0, os.SEEK_CUR) > os.fstat(self._file).st_size:
            os.lseek(self._file, 0, os.SEEK_SET)  # it was emptied
        self._rest += _read(self._file)
        if self._is_rotated():
            os.close(self._file)
            self._file = os.open(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._rest += _read(self._file)
        *whole, self._rest = self._rest.split(b"\n")
        found = (line_of(text.decode("utf-8", "backslashreplace")) for text in whole)
        return [line for line in found if line is not None]

    def close(self) -> None:
        os.close(self._file)

    def _is_rotated(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self.name), os.fstat(self._file))
        except OSError:
            return False


class _Records:
    """What the programs of a login keep of each user: a code was accepted, or one more was not."""

    name = f"{RUN.path} (there is no log)"

    def __init__(self) -> None:
        self._before = self._look()

    def lines(self) -> list[Line]:
        found, before = self._look(), self._before
        self._before = found
        lines: list[Line] = []
        for uid, (steps, in_a_row) in found.items():
            steps_before, in_a_row_before = before.get(uid, ({}, 0))
            if steps != steps_before:
                lines.append(Line("pam-totp", f"verdict=accept reason=totp user={_name_of(uid)}"))
            elif in_a_row > in_a_row_before:
                lines.append(Line("pam-totp", f"verdict=refuse reason=? user={_name_of(uid)}"))
        return lines

    def close(self) -> None:
        pass

    def _look(self) -> dict[int, tuple[dict[str, int], int]]:
        found: dict[int, tuple[dict[str, int], int]] = {}
        try:
            names = os.listdir(RUN.path)
        except OSError:
            return found
        for name in names:
            if not name.isdecimal():
                continue
            try:
                steps, failures = attempts.look(int(name))
            except Failure:
                continue
            found[int(name)] = dict(steps), failures.in_a_row
        return found


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read(file: int) -> bytes:
    read = b""
    try:
        while len(read) < _MAX_BYTES and (more := os.read(file, 65536)):
            read += more
    except BlockingIOError:
        pass
    return read
