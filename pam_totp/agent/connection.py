# SPDX-License-Identifier: MIT
"""One connection to a server, and one question on it at a time, which ends in time.

- A question MUST NOT be cancelled or repeated: PostgreSQL answers yes where a wait for a standby is
  cancelled, and a code that is sent twice counts as two tries. Whoever waits no longer closes.
- An answer MUST be small, whatever it consists of: one of a broken server would end this process,
  and that of the next login.
- An answer MUST count only once the server has finished without an error and without a warning.
"""

import re
import select
import time

import psycopg
from psycopg import pq

from pam_totp.agent.outcome import Refused, Unavailable, left
from pam_totp.agent.received import MAX_BYTES, bytes_received

# With one of these a question is finished as it should be; with WARNING, or a level that is not
# known, it is not.
HARMLESS = ("DEBUG", "LOG", "INFO", "NOTICE")
TOO_MUCH = f"sends more than the {MAX_BYTES} bytes that an answer may have"
MAX_CHARACTERS = 300  # of a server's text
WHERE = re.compile("^connection to server at .{0,200}? failed: ")


class Connection:
    """To the server at `place`, HOST:PORT. used_at: when it was asked last (time.monotonic)."""

    def __init__(self, pgconn: pq.abc.PGconn, place: str) -> None:
        self._pgconn = pgconn
        self._warnings: list[str] = []
        self._may_have_received = 0
        self.place = place
        self.used_at = time.monotonic()
        pgconn.nonblocking = 1
        pgconn.notice_handler = self._notice

    @property
    def server_version(self) -> str:
        """As in "15.8 (Debian 15.8-0+deb12u1)"."""
        return (self._pgconn.parameter_status(b"server_version") or b"").decode("ascii", "replace")

    def close(self) -> None:
        """Drops it. A server that still works on a question finishes that."""
        self._pgconn.finish()

    def is_open(self) -> bool:
        """Whether the server has neither closed it nor said anything meanwhile."""
        if self._pgconn.status != pq.ConnStatus.OK:
            return False
        poll = select.poll()
        poll.register(self._pgconn.socket, select.POLLIN)
        return not poll.poll(0)

    def ask(self, statement: bytes, values: list[str], until: float) -> list[dict[str, str | None]]:
        """The rows of the answer. Raises Unavailable, and then the connection is closed; or Refused
        with the error of the server."""
        self._warnings.clear()
        self.used_at = time.monotonic()
        try:
            result = self._result(statement, values, until)
            if self._warnings:
                raise Unavailable(f"{self.place} warns: {self._warnings[0]}")
            if result.status == pq.ExecStatus.TUPLES_OK:
                return _rows(result)
            sqlstate = _field(result, pq.DiagnosticField.SQLSTATE)
            message = _field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
            if not sqlstate:
                raise Unavailable(f"{self.place}: {reason_of(self._pgconn)}")
            is_idle = self._pgconn.transaction_status == pq.TransactionStatus.IDLE
            if not is_idle or not sqlstate.startswith("P0T"):
                self.close()
            raise Refused(sqlstate, message)
        except psycopg.Error as failure:
            self.close()
            raise Unavailable(f"{self.place}: {one_line(str(failure))}") from None
        except Unavailable:
            self.close()
            raise

    def _result(self, statement: bytes, values: list[str], until: float) -> pq.abc.PGresult:
        """The only result of a statement that is finished."""
        pgconn = self._pgconn
        self._may_have_received = bytes_received(pgconn.socket) + MAX_BYTES
        pgconn.send_query_params(statement, [value.encode() for value in values])
        while pgconn.flush():
            self._take_in(select.POLLIN | select.POLLOUT, until)
        results = []
        while True:
            while pgconn.is_busy():
                self._take_in(select.POLLIN, until)
            result = pgconn.get_result()
            if result is None:
                break
            results.append(result)
            if len(results) > 1 or result.status == pq.ExecStatus.COPY_IN:
                break
        if len(results) != 1:
            raise Unavailable(f"{self.place} does not answer like a PostgreSQL server")
        return results[0]

    def _take_in(self, events: int, until: float) -> None:
        self._wait(events, until)
        self._refuse_too_much()
        self._pgconn.consume_input()
        self._refuse_too_much()  # libpq reads as long as there is more

    def _refuse_too_much(self) -> None:
        if self._pgconn.status != pq.ConnStatus.OK:
            return  # the server has closed, and may have said why
        if bytes_received(self._pgconn.socket) > self._may_have_received:
            raise Unavailable(f"{self.place} {TOO_MUCH}")

    def _wait(self, events: int, until: float) -> None:
        poll = select.poll()
        poll.register(self._pgconn.socket, events)
        # A server that sends without end is ready for ever.
        if not poll.poll(1000 * left(until)) or not left(until):
            raise Unavailable(f"{self.place} did not answer in time")

    def _notice(self, result: pq.abc.PGresult) -> None:
        """Called by libpq while it reads."""
        level = _field(result, pq.DiagnosticField.SEVERITY_NONLOCALIZED)
        if not level.startswith(HARMLESS):
            code = _field(result, pq.DiagnosticField.SQLSTATE)
            text = _field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
            self._warnings.append(f"{text} ({code})")


def reason_of(pgconn: pq.abc.PGconn) -> str:
    """What libpq says, without the server's name, and without the question that it may add."""
    text = pgconn.error_message.decode("utf-8", "replace")
    said = [line for line in text.splitlines() if not line.startswith("\t")]
    return WHERE.sub("", one_line("\n".join(said))) or "closed the connection"


def one_line(text: str) -> str:
    """The last line of a server's text, which may hold anything, for the log."""
    last = (text.strip().splitlines() or [""])[-1][:MAX_CHARACTERS].strip()
    return "".join(each if each.isprintable() else "?" for each in last)


def _field(result: pq.abc.PGresult, field: pq.DiagnosticField) -> str:
    return one_line((result.error_field(field) or b"").decode("utf-8", "replace"))


def _rows(result: pq.abc.PGresult) -> list[dict[str, str | None]]:
    names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
    rows = []
    for row in range(result.ntuples):
        values = [result.get_value(row, at) for at in range(result.nfields)]
        texts = [None if value is None else value.decode() for value in values]
        rows.append(dict(zip(names, texts, strict=True)))
    return rows
