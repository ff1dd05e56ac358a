# SPDX-License-Identifier: MIT
"""Whoever connects to the agent's socket: one line is read, and one is answered, in time.

- Root's socket MUST answer root alone, the users' one each user about that user alone.
- Whoever sends half a line, or nothing, MUST NOT keep more than one thread, for as long as an
  answer may take.
"""

import contextlib
import pwd
import select
import socket
import struct
import syslog
import time

from pam_totp.agent import statements
from pam_totp.agent.outcome import HostRefused, Refused, Unavailable, left
from pam_totp.agent.pool import Pool, Unconfigured
from pam_totp.rules import agent_line
from pam_totp.rules.agent_line import (
    ANSWER_SECONDS,
    HOST_IS_REFUSED,
    MAX_MANY_BYTES,
    NO,
    OK,
    UNAVAILABLE,
)
from pam_totp.rules.reasons import HOST_REFUSED

# What users may ask, about themselves.
OF_USERS = (
    agent_line.STANDING,
    agent_line.STANDINGS,
    agent_line.ENROLL_BEGIN,
    agent_line.ENROLL_CONFIRM,
    agent_line.INFO,
)
MAX_DETAIL_CHARACTERS = 500


class Served:
    """for_users: whether this is the users' agent."""

    def __init__(self, pool: Pool | Unconfigured, *, for_users: bool) -> None:
        self._pool, self._for_users = pool, for_users

    def serve(self, peer: socket.socket) -> None:
        """Answers one line and closes. Never raises."""
        until = time.monotonic() + ANSWER_SECONDS
        with peer:
            try:
                if not self._for_users and not _has(peer, select.POLLIN):
                    self._pool.prepare(until)  # verify connects before it asks
                verb, *fields = self._read(peer, until)
                answer = self._answer(peer, verb, fields, until)
            except OSError:
                return  # nobody is there any more, or was in time
            except HostRefused as failure:
                answer = [NO, HOST_REFUSED, _short(f"{HOST_IS_REFUSED}: {failure}")]
            except Unavailable as failure:
                answer = [UNAVAILABLE, _short(str(failure))]
            except Exception as failure:
                # What no server says: a bug of ours, or a server that is none.
                detail = f"{type(failure).__name__} in pam-totp-agent"
                syslog.syslog(syslog.LOG_ERR, f"{detail}: {ascii(failure)[:MAX_DETAIL_CHARACTERS]}")
                answer = [UNAVAILABLE, detail]
            self._send(peer, answer, until)

    def _read(self, peer: socket.socket, until: float) -> list[str]:
        """The fields of a line. Raises OSError, or Unavailable where it is none."""
        line = b""
        while b"\n" not in line and len(line) <= MAX_MANY_BYTES:
            peer.settimeout(left(until) or 0.001)
            part = peer.recv(64 * 1024)
            if not part:
                break
            line += part
        try:
            fields = agent_line.decode(line, MAX_MANY_BYTES)
            if len(line) <= agent_line.limit_of(fields[0]):
                return fields
        except ValueError:
            pass
        raise Unavailable("pam-totp-agent cannot read the request")

    def _answer(
        self, peer: socket.socket, verb: str, fields: list[str], until: float
    ) -> list[object]:
        """Raises OSError where the peer is gone, Unavailable, and whatever an answer of no form
        raises."""
        is_about_itself = [verb, *fields] == [agent_line.CONF]
        if not (is_about_itself or statements.has_form(verb, fields)):
            raise Unavailable("pam-totp-agent does not know this request")
        if not self._is_allowed(peer, verb, fields):
            raise Unavailable("pam-totp-agent answers users only about themselves")
        if is_about_itself:
            return [OK, self._pool.conf]
        _, waits, ask = statements.VERBS[verb]
        try:
            with self._pool.connection(until, in_a_hurry=not waits) as (connection, hello):
                if _has(peer, select.POLLRDHUP):
                    raise BrokenPipeError  # nobody would learn what became of the code
                return [OK, *ask(connection, hello, fields, until)]
        except Refused as refused:  # it was reached, so others need not take it for away
            return [NO, *statements.refusal(refused)]

    def _is_allowed(self, peer: socket.socket, verb: str, fields: list[str]) -> bool:
        uid = uid_of(peer)
        if uid == 0:
            return True
        if not self._for_users or verb not in OF_USERS:
            return False
        persons = fields if verb == agent_line.STANDINGS else fields[:1]
        try:
            return set(persons) <= {pwd.getpwuid(uid).pw_name}
        except KeyError:
            return False

    def _send(self, peer: socket.socket, answer: list[object], until: float) -> None:
        try:
            line = agent_line.encode(*answer, max_bytes=MAX_MANY_BYTES)
        except ValueError:
            line = agent_line.encode(UNAVAILABLE, "the store's answer does not fit into a line")
        try:
            peer.settimeout(left(until) or 0.1)
            peer.sendall(line)
        except OSError:
            pass  # nobody is there any more


def uid_of(peer: socket.socket) -> int:
    """The user id of who connected, as the kernel knows it."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def turn_away(peer: socket.socket) -> None:
    """Answers without a look at the question, and closes. Never waits."""
    with peer:
        peer.setblocking(False)
        with contextlib.suppress(OSError):  # nobody is there any more
            peer.send(agent_line.encode(UNAVAILABLE, "too many requests from this user at once"))


def _has(peer: socket.socket, event: int) -> bool:
    """Whether it has sent something, or is gone."""
    poll = select.poll()
    poll.register(peer, event)
    return bool(poll.poll(0))


def _short(text: str) -> str:
    return text.replace("\0", "?").replace("\n", " ")[:MAX_DETAIL_CHARACTERS]
