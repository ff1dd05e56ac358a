# SPDX-License-Identifier: MIT
"""The agent: asks the store of a fleet for the logins of this host.

systemd starts it at the first login (socket activation), and it ends when there was no work for a
while. It holds nothing that a restart would lose, so it may be killed at any moment: that costs the
logins that wait for it then.

- What is bounded: the questions at once (a thread each), the connections, each line, the time.
- It MUST answer only what the store has said to this very question.
"""

import argparse
import math
import os
import resource
import select
import signal
import socket
import syslog
import threading
import time
from collections import Counter

from pam_totp import VERSION
from pam_totp.agent.conninfo import forget_environment, read_store
from pam_totp.agent.pool import Pool, Unconfigured
from pam_totp.agent.seen import Seen
from pam_totp.agent.serving import Served, turn_away, uid_of
from pam_totp.rules.agent_line import ANSWER_SECONDS
from pam_totp.rules.reasons import Failure

# Of root's agent and of the users': a host may have four connections (CONNECTION LIMIT), and what
# users do must not take those of logins.
CONNECTIONS, CONNECTIONS_FOR_USERS = 3, 1
AT_ONCE = 32
# At the users' socket, of one user: others are to get their answer beside one who holds on to it.
AT_ONCE_OF_ONE_USER = 4
BACKLOG = 128
# Of a thread (glibc's own is 8 MB); of all, with what libpq reads. The units have the latter as
# LimitDATA, since what they may call does not include setrlimit.
STACK_BYTES, MAX_DATA_BYTES = 256 * 1024, 96 * 1024 * 1024
IDLE_SECONDS = 600.0
IDLE_SECONDS_UNCONFIGURED = 1.0  # its files are read at its start alone
HOUSEKEEPING_SECONDS = 5.0
FIRST_DESCRIPTOR = 3  # of systemd: sd_listen_fds(3)


def main(arguments: list[str]) -> int:
    """Serves until there is no work or SIGTERM comes. The exit code."""
    options = parse(arguments)
    threading.stack_size(STACK_BYTES)
    syslog.openlog("pam-totp-agent", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    most = CONNECTIONS_FOR_USERS if options.for_users else CONNECTIONS
    of_one_user = AT_ONCE_OF_ONE_USER if options.for_users else AT_ONCE
    if options.listen:
        os.makedirs(options.state, 0o700, exist_ok=True)  # systemd makes it otherwise
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
    pool, idle_seconds = make_pool(options.state, most), options.idle
    if isinstance(pool, Unconfigured):
        idle_seconds = min(idle_seconds, IDLE_SECONDS_UNCONFIGURED)
    listener = listen(options.listen, for_users=options.for_users)
    if listener is None:
        syslog.syslog(syslog.LOG_ERR, "must be started by systemd's socket, or with --listen")
        return 1
    served = Served(pool, for_users=options.for_users)
    Loop(listener, pool, served, of_one_user).run(idle_seconds)
    return 0


def make_pool(state: str, most: int) -> Pool | Unconfigured:
    """If it ended where its files are faulty, systemd would start it again and again."""
    try:
        store = read_store()
    except Failure as failure:
        syslog.syslog(syslog.LOG_ERR, failure.detail)
        return Unconfigured(failure.detail)
    forget_environment()
    seen = Seen(state, store.id)
    if seen.fault:
        syslog.syslog(syslog.LOG_ERR, seen.fault)
    return Pool(store, seen, most, VERSION)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="agent", description="ask the store of a fleet for the logins of this host"
    )
    parser.add_argument("--listen", metavar="PATH", help="make this socket (without systemd)")
    parser.add_argument("--for-users", action="store_true", help="answer users about themselves")
    parser.add_argument(
        "--state",
        metavar="FOLDER",
        default=os.environ.get("STATE_DIRECTORY", "/var/lib/pam-totp-agent"),
        help="the folder in which it remembers how new the store was",
    )
    parser.add_argument("--idle", metavar="SECONDS", type=float)
    options = parser.parse_args(arguments)
    if options.idle is None:  # only systemd would start it again
        options.idle = math.inf if options.listen else IDLE_SECONDS
    return options


def listen(path: str | None, *, for_users: bool) -> socket.socket | None:
    """The socket of systemd, or one at the path: for everybody, or for root alone."""
    if path is None:
        is_for_us = os.environ.get("LISTEN_PID") == str(os.getpid())
        if not is_for_us or os.environ.get("LISTEN_FDS") != "1":
            return None
        return socket.socket(fileno=FIRST_DESCRIPTOR)
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    before = os.umask(0o111 if for_users else 0o177)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.umask(before)
    listener.listen(BACKLOG)
    return listener


class Loop:
    """Accepts whoever connects, while fewer than AT_ONCE are served, and of one user fewer than
    `of_one_user`."""

    def __init__(
        self, listener: socket.socket, pool: Pool | Unconfigured, served: Served, of_one_user: int
    ) -> None:
        self._listener, self._pool, self._served = listener, pool, served
        self._of_one_user = of_one_user
        self._running: Counter[int] = Counter()  # by user id
        self._ended = threading.Condition()
        self._stop, self._stopped = os.pipe()
        self._last_work = time.monotonic()

    def run(self, idle_seconds: float) -> None:
        """Until SIGTERM, or until there was no work for so long."""
        signal.set_wakeup_fd(self._non_blocking(self._stopped))
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._listener.setblocking(False)
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._listener, select.POLLIN)
        while True:
            ready = poll.poll(1000 * min(HOUSEKEEPING_SECONDS, idle_seconds))
            if any(descriptor == self._stop for descriptor, _ in ready):
                break
            if ready:
                self._accept()
            self._pool.close_idle()
            if place := self._pool.stuck_at():
                syslog.syslog(syslog.LOG_ERR, f"{place} keeps this agent computing, so it ends")
                break
            if not self._running and time.monotonic() - self._last_work >= idle_seconds:
                break
        self._finish()

    def _accept(self) -> None:
        with self._ended:
            while self._running.total() >= AT_ONCE:
                self._ended.wait()  # the others wait in the socket's queue, which the kernel bounds
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # whoever it was is gone
            uid = uid_of(peer)
            if self._running[uid] >= self._of_one_user:
                turn_away(peer)
                return
            self._running[uid] += 1
        threading.Thread(target=self._serve, args=(peer, uid), daemon=True).start()

    def _serve(self, peer: socket.socket, uid: int) -> None:
        try:
            self._served.serve(peer)
        finally:
            with self._ended:
                self._running -= Counter([uid])  # which forgets a user of whom none is left
                self._last_work = time.monotonic()
                self._ended.notify_all()

    def _finish(self) -> None:
        """What was begun is answered. What nobody has accepted yet stays in systemd's socket."""
        until = time.monotonic() + ANSWER_SECONDS
        with self._ended:
            while self._running and time.monotonic() < until:
                self._ended.wait(0.1)

    @staticmethod
    def _non_blocking(descriptor: int) -> int:
        os.set_blocking(descriptor, False)
        return descriptor
