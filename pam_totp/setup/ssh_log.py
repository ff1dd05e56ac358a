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
_TERMINAL = re.compile(r"Starting session: .*\bon \S+ for (\S+) from (\S+) port (\d+)")
# struct utmp of x86-64 and all that share its layout: type, pid, line, id, user, host, and, behind
# exit status and session, the time.
_RECORD = struct.Struct("=h2xi32s4s32s256s8xI40x")
_USER_PROCESS = 7

KEY, PASSWORD = "key", "password"


class SshLog:
    """accepted: by the address and the port at the other end of a connection, the first factor of
    each user of whom it is said; empty where several are said. by_key: how often each user came
    with a key; terminals: how often each had a terminal; knows_terminals: whether the log tells at
    all who had one."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.accepted: dict[tuple[str, str], dict[str, str]] = {}
        self.by_key = collections.Counter[str]()
        self.terminals = collections.Counter[str]()
        connections = set[tuple[str, ...]]()
        self.knows_terminals = False
        by_process: dict[str, str] = {}
        for line in lines:
            found = _LINE.search(line)
            if found is None:
                continue
            process, message = found.groups()
            self.knows_terminals |= message.startswith("Starting session: ")
            terminal = _TERMINAL.match(message)
            if terminal and (process, *terminal.groups()) not in connections:
                connections.add((process, *terminal.groups()))
                self.terminals[terminal[1]] += 1
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
        """Accounts that come with a key and mostly have no terminal, with how often they had none;
        the most first. Only at a verbose LogLevel sshd says who had one: wtmp tells the rest."""
        without = self.by_key - self.terminals
        return [
            (user, count) for user, count in without.most_common() if count > self.terminals[user]
        ]


def read() -> SshLog:
    """The log of this machine."""
    found = SshLog(_lines())
    in_wtmp = _in_wtmp()
    found.terminals |= in_wtmp  # the larger number: both tell of the same logins
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


def _in_wtmp() -> collections.Counter[str]:
    """Users to whom the login records of these days give a terminal, and how often."""
    try:
        with open(WTMP, "rb") as file:
            content = file.read(MAX_BYTES)
    except OSError:
        return collections.Counter()
    found, since = collections.Counter[str](), time.time() - DAYS * 86400
    for at in range(0, len(content) - _RECORD.size + 1, _RECORD.size):
        kind, _, line, _, user, _, begun = _RECORD.unpack_from(content, at)
        if kind == _USER_PROCESS and begun >= since and line.startswith((b"pts/", b"tty")):
            found[user.rstrip(b"\0").decode("utf-8", "replace")] += 1
    return found
