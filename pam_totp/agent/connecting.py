# SPDX-License-Identifier: MIT
"""A new connection to whichever server is the primary: all are asked at once, so that one that is
dead, hangs or has no name costs nothing while another answers.

- Nobody MUST wait for libpq itself. Who is not the server can have it compute for hours before it
  would notice (RFC 5802 has no limit for the iterations), and nothing ends that but the end of the
  process. So each address has a thread, and the agent ends when one has not come back.
"""

import queue
import select
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import pq

from pam_totp.agent.connection import TOO_MUCH, Connection, one_line, reason_of
from pam_totp.agent.conninfo import Store
from pam_totp.agent.lookup import Names
from pam_totp.agent.outcome import HostRefused, Unavailable, left
from pam_totp.agent.received import MAX_BYTES, bytes_received

EVENTS = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}
# What a server says to a role that was removed, and to one whose password is another one: also once
# the host was added again elsewhere.
REFUSALS = ("is not permitted to log in", "password authentication failed for user")
# How often a thread looks whether its attempt was given up.
MILLISECONDS_TO_GIVE_UP = 100
# libpq needs some hundredths of a second at most for each part of a server's answer.
SECONDS_TO_COMPUTE = 2.0


class Computing:
    """What libpq computes at this moment, of all attempts of this process."""

    def __init__(self) -> None:
        self._began: dict[int, tuple[float, str]] = {}  # by thread: when, and for which server

    @contextmanager
    def begun(self, place: str) -> Iterator[None]:
        thread = threading.get_ident()
        self._began[thread] = time.monotonic(), place
        try:
            yield
        finally:
            del self._began[thread]

    def stuck_at(self) -> str:
        """The server for which it has computed for too long; empty if there is none."""
        began, place = min(self._began.copy().values(), default=(time.monotonic(), ""))
        return place if time.monotonic() - began > SECONDS_TO_COMPUTE else ""


class _Attempt:
    """To connect to one address of a server. ended: where it is put when it has come to an end;
    connection: None if it failed, and then `fault` says why."""

    def __init__(
        self,
        place: str,
        conninfo: bytes,
        computing: Computing,
        ended: "Callable[[_Attempt], None]",
    ) -> None:
        self.place, self._conninfo = place, conninfo
        self._computing, self._ended = computing, ended
        self._lock = threading.Lock()
        self._is_given_up = False
        self.connection: Connection | None = None
        self.fault = Unavailable()
        threading.Thread(target=self._run, daemon=True).start()

    def give_up(self) -> None:
        with self._lock:
            self._is_given_up = True
            if self.connection is not None:
                self.connection.close()

    def _run(self) -> None:
        pgconn = pq.PGconn.connect_start(self._conninfo)
        try:
            status = self._poll(pgconn)
            fault = reason_of(pgconn)
        except (psycopg.Error, Unavailable) as failure:  # psycopg's: it has no socket any more
            status, fault = pq.PollingStatus.FAILED, one_line(str(failure))
        with self._lock:
            if status == pq.PollingStatus.OK and not self._is_given_up:
                self.connection = Connection(pgconn, self.place)
            else:
                is_refused = any(text in fault for text in REFUSALS)
                kind = HostRefused if is_refused else Unavailable
                self.fault = kind(f"{self.place}: {fault}")
                pgconn.finish()
        self._ended(self)

    def _poll(self, pgconn: pq.abc.PGconn) -> pq.PollingStatus:
        """How it ended, or how it is where it was given up. Raises psycopg.Error, or Unavailable if
        it is sent too much."""
        if pgconn.status == pq.ConnStatus.BAD:
            return pq.PollingStatus.FAILED
        status = pq.PollingStatus.WRITING
        while status in EVENTS and not self._is_given_up:
            poll = select.poll()
            poll.register(pgconn.socket, EVENTS[status])
            if poll.poll(MILLISECONDS_TO_GIVE_UP):
                if bytes_received(pgconn.socket) > MAX_BYTES:
                    raise Unavailable(TOO_MUCH)
                with self._computing.begun(self.place):
                    status = pq.PollingStatus(pgconn.connect_poll())
        return status


class Connecting:
    """Yields the connections that come about, each as soon as it does, and remembers why others did
    not."""

    def __init__(self, store: Store, names: Names, computing: Computing) -> None:
        self._store, self._names, self._computing = store, names, computing
        self._ended: queue.SimpleQueue[_Attempt] = queue.SimpleQueue()
        self._failures: list[Unavailable] = []
        self._silent: list[str] = []

    def fail(self, failure: Unavailable) -> None:
        """One of the connections is of no use."""
        self._failures.append(failure)

    def unavailable(self) -> Unavailable:
        """That none of them is: that this host is refused, if one of the servers says so."""
        said = "; ".join([*map(str, self._failures), *self._silent]) or "no server has an address"
        is_refused = any(isinstance(each, HostRefused) for each in self._failures)
        return HostRefused(said) if is_refused else Unavailable(said)

    def connections(self, until: float) -> Generator[Connection | None, float, None]:
        """At most one for each address; None when time is up, after which more time may be sent.
        Ends when all have failed. To close it is to give up the rest."""
        attempts: list[_Attempt] = []
        try:
            attempts += self._begin(until)
            while attempts:
                try:
                    attempt = self._ended.get(timeout=left(until))
                except queue.Empty:
                    self._silent = [f"{each.place} did not answer in time" for each in attempts]
                    until = yield None
                    continue
                attempts.remove(attempt)
                if attempt.connection is None:
                    self.fail(attempt.fault)
                else:
                    yield attempt.connection
        finally:
            for attempt in attempts:
                attempt.give_up()

    def _begin(self, until: float) -> Iterator[_Attempt]:
        servers = self._store.servers
        found, failed = self._names.addresses([host for host, _ in servers], until)
        for name, why in failed.items():
            self.fail(Unavailable(f"{name}: {why}"))
        for host, port in servers:
            for name, address in found:
                if name == host:
                    conninfo = self._store.conninfo(host, port, address)
                    place = f"{host}:{port}"
                    yield _Attempt(place, conninfo, self._computing, self._ended.put)
