# SPDX-License-Identifier: MIT
"""Following the log of logins: journald, the file of syslogd, or, without both, root's records.

Any user may write to the log. So what is read here is shown, and decides nothing (recorded.py).
"""

import json
import os
import pwd
import shlex
import shutil
import subprocess
import time
from typing import Protocol

from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user import attempts, recovery
from pam_totp.rules.reasons import Failure
from pam_totp.setup.attempt import SSHD, UNTOLD, Line, line_of
from pam_totp.setup.recorded import times

FILES = ("/var/log/auth.log", "/var/log/secure", "/var/log/messages")
_JOURNALD = "/run/systemd/journal/socket"
SYSLOGD = "/dev/log"
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
    for path in FILES if os.path.exists(SYSLOGD) else ():  # else the file is an old one
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
    """What the programs of a login keep of each user: that there was a login with a code, and how
    many were incorrect. `unlock` and `reset`, which take from these, are no attempt."""

    name = f"{RUN.path} (there is no log)"

    def __init__(self) -> None:
        self._logins, self._incorrect = times(), _incorrect()

    def lines(self) -> list[Line]:
        logins, logins_before = times(), self._logins
        incorrect, incorrect_before = _incorrect(), self._incorrect
        self._logins, self._incorrect = logins, incorrect
        lines = [_line("accept", uid) for uid, at in logins.items() if at != logins_before.get(uid)]
        for uid, counts in incorrect.items():
            pairs = zip(counts, incorrect_before.get(uid, (0, 0)), strict=True)
            if any(count > before for count, before in pairs):
                lines.append(_line("refuse", uid))
        return lines

    def close(self) -> None:
        pass


def _incorrect() -> dict[str, tuple[int, int]]:
    """By user id: how many incorrect codes there were in a row, and how many recovery codes."""
    found = dict[str, tuple[int, int]]()
    try:
        names = os.listdir(RUN.path)
    except OSError:
        return found
    for name in filter(str.isdecimal, names):
        try:
            steps, failures = attempts.look(int(name))
        except Failure:
            continue
        found[name] = failures.in_a_row, steps.get(recovery.INCORRECT, 0)
    return found


def _line(verdict: str, uid: str) -> Line:
    try:
        name = pwd.getpwuid(int(uid)).pw_name
    except (KeyError, ValueError):
        name = uid
    return Line("pam-totp", f"verdict={verdict} reason={UNTOLD} user={shlex.quote(name)}")


def _read(file: int) -> bytes:
    read = b""
    try:
        while len(read) < _MAX_BYTES and (more := os.read(file, 65536)):
            read += more
    except BlockingIOError:
        pass
    return read
