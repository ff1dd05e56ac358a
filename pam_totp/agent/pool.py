# SPDX-License-Identifier: MIT
"""The few connections of this host to the store.

A question takes the connection that answered last, or opens one; if as many are open as may be, it
waits for one. So a flood of logins on one host opens no more than these at the server.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from pam_totp.agent.connecting import Computing, Connecting
from pam_totp.agent.connection import Connection
from pam_totp.agent.conninfo import Store
from pam_totp.agent.hello import Hello, greet
from pam_totp.agent.lookup import Names
from pam_totp.agent.outcome import Unavailable, left
from pam_totp.agent.seen import Seen

# A server keeps some memory for each connection, and 500 hosts may be as many.
SECONDS_IDLE, SECONDS_LAST_IDLE = 10.0, 600.0
# A connection on which the server has said nothing for so long is asked hello first: that can be
# asked again of another server, a code cannot.
SECONDS_GREETED, SECONDS_TO_GREET = 60.0, 0.6
# After it could not be reached, those who only want to know something do not wait for it again.
SECONDS_AWAY = 2.0
# How long a connection that comes too late for a login is waited for.
SECONDS_LATE = 4.0

Connections = Generator[Connection | None, float, None]


class Unconfigured:
    """In place of a pool where it is not known which store this host belongs to."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self.conf = ""

    @contextmanager
    def connection(
        self, _until: float, *, in_a_hurry: bool = False
    ) -> Iterator[tuple[Connection, Hello]]:
        """Raises Unavailable."""
        raise Unavailable(self._fault)
        yield

    def prepare(self, _until: float) -> None:
        """There is none."""

    def close_idle(self) -> None:
        """There are none."""

    def stuck_at(self) -> str:
        """At none."""
        return ""


class Pool:
    """most: how many connections may be open at once; release: of this program, for the store's
    list of hosts."""

    def __init__(self, store: Store, seen: Seen, most: int, release: str) -> None:
        self._store, self._seen, self._most, self._release = store, seen, most, release
        self.conf = store.conf
        self._names, self._computing = Names(), Computing()
        self._changed = threading.Condition()
        self._idle: list[tuple[Connection, Hello]] = []  # the one that answered last is the last
        self._open = 0
        self._is_late = False  # whether a connection is awaited that comes too late for its login
        self._away = -SECONDS_AWAY, Unavailable()

    @contextmanager
    def connection(
        self, until: float, *, in_a_hurry: bool = False
    ) -> Iterator[tuple[Connection, Hello]]:
        """A connection, and what its server said of itself. in_a_hurry: fails at once if the store
        could not be reached a moment ago. Raises Unavailable."""
        at, failure = self._away
        if in_a_hurry and time.monotonic() - at < SECONDS_AWAY:
            raise type(failure)(str(failure))
        taken = self._take(until)
        try:
            if taken is None:
                taken = self._connect(until)
            yield taken
        except Unavailable as failure:
            self._away = time.monotonic(), failure
            raise
        finally:
            with self._changed:
                if taken is not None and taken[0].is_open():
                    self._idle.append(taken)
                else:
                    self._open -= 1
                self._changed.notify()

    def prepare(self, until: float) -> None:
        """For a question that will come soon: a connection is opened or greeted before. It is not
        kept for that question; and what fails here may work then."""
        with self._changed:
            if self._open > len(self._idle):
                return  # others are asking, and need the connections
        with suppress(Unavailable), self.connection(until, in_a_hurry=True):
            pass

    def close_idle(self) -> None:
        """Those that were not used for a while, and the last one after a longer while."""
        now = time.monotonic()
        with self._changed:
            last = len(self._idle) - 1
            kept = []
            for at, (connection, hello) in enumerate(self._idle):
                limit = SECONDS_LAST_IDLE if at == last else SECONDS_IDLE
                if now - connection.used_at < limit and connection.is_open():
                    kept.append((connection, hello))
                else:
                    connection.close()
                    self._open -= 1
            self._idle = kept

    def stuck_at(self) -> str:
        """The server that keeps a thread of this process for ever; empty if there is none."""
        return self._computing.stuck_at()

    def _take(self, until: float) -> tuple[Connection, Hello] | None:
        """An open connection, or None with the right to open one."""
        while True:
            with self._changed:
                while not self._idle and self._open >= self._most:
                    if not self._changed.wait(left(until)):
                        raise Unavailable(f"all connections of this host are in use ({self._most})")
                if not self._idle:
                    self._open += 1
                    return None
                connection, hello = self._idle.pop()
            try:
                if connection.is_open():
                    return connection, self._greeted(connection, hello, until)
            except Unavailable:
                pass  # another one, or a new one, may answer
            connection.close()
            with self._changed:
                self._open -= 1

    def _greeted(self, connection: Connection, hello: Hello, until: float) -> Hello:
        now = time.monotonic()
        if now - hello.at < SECONDS_GREETED:
            return hello
        return self._greet(connection, min(until, now + SECONDS_TO_GREET))

    def _greet(self, connection: Connection, until: float) -> Hello:
        return greet(connection, self._store, self._release, self._seen, until)

    def _connect(self, until: float) -> tuple[Connection, Hello]:
        connecting = Connecting(self._store, self._names, self._computing)
        connections = connecting.connections(until)
        for connection in connections:
            if connection is None:
                self._go_on_connecting(connections)
                raise connecting.unavailable()
            try:
                hello = self._greet(connection, until)
                connections.close()
                return connection, hello
            except Unavailable as failure:
                connecting.fail(failure)
        raise connecting.unavailable()

    def _go_on_connecting(self, connections: Connections) -> None:
        """For the next login: to a server that is far away it takes eight round trips. It counts
        as an open connection, and there is one at most: others may find another server."""
        with self._changed:
            if self._is_late:
                connections.close()
                return
            self._is_late = True
            self._open += 1
        threading.Thread(target=self._connect_late, args=(connections,), daemon=True).start()

    def _connect_late(self, connections: Connections) -> None:
        until = time.monotonic() + SECONDS_LATE
        try:
            connection = connections.send(until)
            if connection is not None:
                taken = connection, self._greet(connection, until)
                with self._changed:
                    self._idle.append(taken)
                    self._open += 1
        except (Unavailable, StopIteration):
            pass
        finally:
            connections.close()
            with self._changed:
                self._is_late = False
                self._open -= 1
                self._changed.notify_all()
