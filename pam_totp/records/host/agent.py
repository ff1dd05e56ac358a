# SPDX-License-Identifier: MIT
"""The agent of this host (pam_totp.agent): one line to its UNIX socket, and one back.

Root has an agent of its own, whose socket is closed to others. Users ask another one, which answers
them about themselves alone.

- An answer MUST be one whole line, within its limit and in time. Anything else is no answer.
"""

import posix
import pwd
import time
from errno import EAGAIN

from pam_totp.records.config.settings import AGENT_SOCKET, Settings
from pam_totp.records.storage.state_dir import RUN
from pam_totp.rules import agent_line, reasons
from pam_totp.rules.reasons import SECRET_UNSAFE, STORE_UNAVAILABLE, Failure

KIND = "store"  # RUN's marks: whom the launcher may ask about
USERS_SOCKET = "/run/pam-totp-enroll.sock"
# The variable in which the launcher (pam/ask_agent.c) says which descriptor it connected, when, and
# whether it has asked what gate or verify would.
EARLY_CALL, ASKED = b"AGENT_CALL", b"1"
# An early call is answered within the time of any other one, so it is soon too old to ask by. But
# an answer that may be there already is read: a code is sent once.
MAX_EARLY_SECONDS, MIN_READ_SECONDS = 0.2, 0.1
_REASONS = {value for name, value in vars(reasons).items() if name.isupper()}

# A descriptor, until when it is worth waiting, and the line that was sent, if one was.
_early: list[tuple[int, float, bytes]] = []

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket


def leave_mark(user: pwd.struct_passwd | None, name: str, settings: Settings, around: str) -> None:
    """Leaves the mark that the store of a fleet is asked about who logs in as `name`, so that the
    launcher asks early the next time; takes it away where the account is gone or has another name,
    as the store may know somebody of that name. It holds as long as certain's. `around`:
    certain.surroundings() before the settings were read."""
    mark = f"pam-totp certain 1 fleet 0 {around}".encode()
    if "/" in name:
        return
    try:
        if user is None or user.pw_name != name or settings.fault or not around:
            RUN.remove(KIND, name)
        elif RUN.read(KIND, name) != mark:
            RUN.write(KIND, name, mark)
    except (OSError, Failure, ValueError):
        pass  # the next question is sent later


def take_early_call(verb: str, *fields: str) -> None:
    """The next `ask` of this process goes by the launcher's call, if there is one: the agent is
    awake by then, and may have answered already what the launcher asks, this verb with these
    fields. Only for what the launcher has started, since nobody else can set its variables. Raises
    ValueError or OSError."""
    if call := posix.environ.pop(EARLY_CALL, b""):  # the number may soon be another descriptor's
        descriptor, at, asked = call.split()
        posix.set_inheritable(int(descriptor), False)
        line = agent_line.encode(verb, *fields) if asked == ASKED else b""
        _early.append((int(descriptor), float(at) + agent_line.ASK_SECONDS, line))


def ask(verb: str, *fields: str) -> list[str]:
    """The fields of the answer to a line. Raises Failure: with the store's reason if it refuses,
    or with store-unavailable."""
    path, limit = _path(), agent_line.limit_of(verb)
    try:
        line = agent_line.encode(verb, *fields, max_bytes=limit)
    except ValueError:
        raise Failure(SECRET_UNSAFE, "the store cannot hold this user name") from None
    try:
        kind, *answer = agent_line.decode(_exchange(path, line, limit), limit)
        if kind == agent_line.OK:
            return answer
        if kind == agent_line.NO and len(answer) == 2 and answer[0] in _REASONS:
            raise Failure(*answer)
        if kind == agent_line.UNAVAILABLE and len(answer) == 1:
            raise Failure(STORE_UNAVAILABLE, answer[0])
    except OSError as failure:  # a TimeoutError is one
        raise Failure(STORE_UNAVAILABLE, f"{path}: {failure.strerror or failure}") from None
    except ValueError:
        pass
    raise unreadable()


def unreadable() -> Failure:
    """That the answer was none."""
    return Failure(STORE_UNAVAILABLE, "the answer of pam-totp-agent cannot be read")


def _path() -> str:
    return AGENT_SOCKET if posix.geteuid() == 0 else USERS_SOCKET


def _call(path: str) -> "tuple[socket, float]":
    """Raises OSError."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

    peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    peer.settimeout(agent_line.ASK_SECONDS)
    peer.connect(path)
    return peer, time.monotonic() + agent_line.ASK_SECONDS


def _ask_early(line: bytes) -> "tuple[socket, float] | None":
    """By the early call, if there is one, and if this line was asked by it, or it is not too old to
    ask. Raises OSError."""
    if not _early:
        return None
    descriptor, until, asked = _early.pop()
    now = time.monotonic()
    is_too_old = until - now < agent_line.ASK_SECONDS - MAX_EARLY_SECONDS
    if asked != line if asked else is_too_old:
        posix.close(descriptor)
        return None
    if not asked and posix.write(descriptor, line) != len(line):
        raise BlockingIOError(EAGAIN, "wrote a part of the line")
    from _socket import AF_UNIX, SOCK_STREAM, socket  # while the store is at work: 0.2 ms

    peer = socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
    return peer, max(until, now + MIN_READ_SECONDS)


def _exchange(path: str, line: bytes, limit: int) -> bytes:
    """What is answered to a line: at most one byte more than `limit`. Raises OSError."""
    asked = _ask_early(line)
    peer, until = asked or _call(path)
    try:
        if not asked:
            peer.sendall(line)
        answer = b""
        while len(answer) <= limit and not answer.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            peer.settimeout(left)
            part = peer.recv(limit + 1 - len(answer))
            if not part:
                break
            answer += part
        return answer
    finally:
        peer.close()
