# SPDX-License-Identifier: MIT
"""What sshd's log of the last weeks says about logins, where it can be read.

Anybody may write to the log. So what is read here is shown, or makes a plan stricter.
"""

import collections
import glob
import gzip
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator

from pam_totp.stack import sshd

FILES = ("/var/log/auth.log*", "/var/log/secure*")
WTMP = "/var/log/wtmp"
DAYS = 30
MAX_BYTES = 64 << 20
# The user id is what the kernel says of the writer: what `logger -t sshd` writes is not read.
JOURNAL = (
    *("journalctl", "--quiet", "--no-pager", "--output=short", f"--since=-{DAYS}days"),
    *("--identifier=sshd", "--identifier=sshd-session", "--identifier=sshd-auth", "_UID=0"),
)
_LINE = re.compile(r" (?:sshd|sshd-session|sshd-auth)\[(\d+)\]: (.*)")
_ACCEPTED = re.compile(r"(Accepted|Partial) ([\w-]+)(?:/\S+)? for (\S+) from (\S+) port (\d+)")
_TERMINAL = re.compile(r"Starting session: .*\bon \S+ for (\S+) from ")
# struct utmp of x86-64 and all that share its layout: type, pid, line, id, user, host, …
_RECORD = struct.Struct("=h2xi32s4s32s256s52x")
_USER_PROCESS = 7

KEY, PASSWORD = "key", "password"


class SshLog:
    """accepted: by the address and the port at the other end of a connection, the first factor of
    each user of whom it is said; empty where several are said. by_key: how often each user came
    with a key; with_terminal: users that had a terminal; knows_terminals: whether the log tells at
    all who had one."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.accepted: dict[tuple[str, str], dict[str, str]] = {}
        self.by_key = collections.Counter[str]()
        self.with_terminal = set[str]()
        self.knows_terminals = False
        by_process: dict[str, str] = {}
        for line in lines:
            found = _LINE.search(line)
            if found is None:
                continue
            process, message = found.groups()
            self.knows_terminals |= message.startswith("Starting session: ")
            terminal = _TERMINAL.match(message)
            if terminal:
                self.with_terminal.add(terminal[1])
            accepted = _ACCEPTED.match(message)
            if accepted is None:
                continue
            kind, method, user, address, port = accepted.groups()
            if method == "publickey":
                by_process[process] = KEY
                self.by_key[user] += kind == "Accepted"
            if kind == "Accepted":
                usual = PASSWORD if method in sshd.BY_PAM else method
                factor = by_process.pop(process, usual)
                users = self.accepted.setdefault((address, port), {})
                users[user] = factor if users.get(user, factor) == factor else ""

    def without_terminal(self) -> list[tuple[str, int]]:
        """Accounts that came with a key, and never to a terminal, with how often; the most first.
        sshd says at a verbose LogLevel only who had a terminal: wtmp tells the rest."""
        found = self.by_key.most_common()
        return [(user, count) for user, count in found if count and user not in self.with_terminal]


def read() -> SshLog:
    """The log of this machine."""
    found = SshLog(_lines())
    in_wtmp = _in_wtmp()
    found.with_terminal |= in_wtmp
    found.knows_terminals |= bool(in_wtmp)
    return found


def _lines() -> Iterator[str]:
    since = time.time() - DAYS * 86400
    left = MAX_BYTES
    for path in sorted({each for pattern in FILES for each in glob.glob(pattern)}, reverse=True):
        try:
            if os.path.getmtime(path) < since:
                continue
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                for line in file:
                    left -= len(line)
                    if left < 0:
                        return
                    yield line.decode("utf-8", "replace")
        except (OSError, EOFError):
            continue
    yield from _journal(left)


def _journal(left: int) -> Iterator[str]:
    if not shutil.which("journalctl") or not os.path.isdir("/run/systemd/system"):
        return
    with subprocess.Popen(JOURNAL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            left -= len(line)
            if left < 0:
                process.kill()
                return
            yield line.decode("utf-8", "replace")


def _in_wtmp() -> set[str]:
    """Users whom login records give a terminal."""
    try:
        with open(WTMP, "rb") as file:
            content = file.read(MAX_BYTES)
    except OSError:
        return set()
    found = set()
    for at in range(0, len(content) - _RECORD.size + 1, _RECORD.size):
        kind, _, line, _, user, _ = _RECORD.unpack_from(content, at)
        if kind == _USER_PROCESS and line.startswith((b"pts/", b"tty")):
            found.add(user.rstrip(b"\0").decode("utf-8", "replace"))
    return found
