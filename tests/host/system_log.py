# SPDX-License-Identifier: MIT
"""The host's /dev/log, as the tests see it: every syslog(3) call of every program, parsed."""

import re
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

DEV_LOG = Path("/dev/log")
# RFC 3164, as syslog(3) of the C library writes it.
LINE = re.compile(r"<(\d+)>\w{3} [ \d]\d [\d:]{8} ([^:\[]+)(?:\[(\d+)\])?: (.*)", re.DOTALL)
FACILITIES = {4: "auth", 9: "cron", 10: "authpriv"}
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


@dataclass(frozen=True)
class LogLine:
    """One syslog message: `facility` and `severity` by name (numbers where they have none)."""

    facility: str
    severity: str
    ident: str
    pid: int
    message: str

    @property
    def as_written(self) -> str:
        """As syslogd writes it behind time and host."""
        return f"{self.ident}[{self.pid}]: {self.message}"

    @property
    def fields(self) -> dict[str, str]:
        """The `key=value` pairs of the message, quotes taken off."""
        return dict(word.split("=", 1) for word in shlex.split(self.message) if "=" in word)


def parse(datagram: bytes) -> LogLine:
    text = datagram.rstrip(b"\n\0").decode("utf-8", "backslashreplace")
    found = LINE.fullmatch(text)
    if not found:
        return LogLine("?", "?", "?", 0, text)
    facility, severity = divmod(int(found[1]), 8)
    name = FACILITIES.get(facility, str(facility))
    return LogLine(name, SEVERITIES[severity], found[2], int(found[3] or 0), found[4])


class SystemLog:
    """Reads /dev/log all the time: a program that logs waits while nobody does."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(DEV_LOG))
        DEV_LOG.chmod(0o666)
        self._lines: list[LogLine] = []
        self._arrived = threading.Condition()
        self.file: Path | None = None  # where a syslogd would write the lines, if a test says so
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            line = parse(self._socket.recv(65536))
            with self._arrived:
                self._lines.append(line)
                self._arrived.notify_all()
            if self.file is not None:
                with self.file.open("a", encoding="utf-8") as file:
                    file.write(f"{time.strftime('%b %e %H:%M:%S')} server {line.as_written}\n")

    def _catch_up(self) -> None:
        """Wait until all that was sent before now has been read: datagrams keep their order."""
        mark = f"mark {uuid4()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark.encode(), str(DEV_LOG))
        with self._arrived:
            assert self._arrived.wait_for(
                lambda: any(line.message == mark for line in self._lines), timeout=10
            )
            self._lines = [line for line in self._lines if line.message != mark]

    def clear(self) -> None:
        self._catch_up()
        with self._arrived:
            self._lines.clear()

    def lines(self, containing: str = "", ident: str = "") -> list[LogLine]:
        """What was logged since the test began, oldest first."""
        self._catch_up()
        with self._arrived:
            return [
                line
                for line in self._lines
                if containing in line.message and ident in ("", line.ident)
            ]

    def decisions(self) -> list[dict[str, str]]:
        """The key=value fields of pam-totp's own lines, oldest first."""
        return [line.fields for line in self.lines("verdict=", ident="pam-totp")]

    def wait_for(self, containing: str, seconds: float = 5) -> LogLine:
        """The first line that contains this text; AssertionError, with the log, if none comes."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while True:
                for line in self._lines:
                    if containing in line.message:
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    log = "\n".join(line.message for line in self._lines)
                    raise AssertionError(f"{containing!r} was not logged in {seconds} s:\n{log}")


@pytest.fixture(scope="session", autouse=True)
def system_log() -> SystemLog:
    return SystemLog()


@pytest.fixture
def syslog(system_log: SystemLog) -> Iterator[SystemLog]:
    """The log of this test alone."""
    system_log.clear()
    yield system_log
