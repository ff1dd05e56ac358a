# SPDX-License-Identifier: MIT
"""Talking to another machine's server, by a command: it ends in time, and on Ctrl-C.

- A command MUST NOT wait for libpq or psycopg itself. A machine that is not the server can have
  libpq compute for hours, or send without end, and after Ctrl-C psycopg waits for the server once
  more. So a thread talks to it, and ends with the command at the latest.
- What is done there MUST be such that a command may be killed at any moment of it.
"""

import atexit
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from psycopg.conninfo import conninfo_to_dict

from pam_totp.errors import Error

# A server answers within a hundredth of that; one that is dead takes five seconds.
MAX_SECONDS = 20.0
Result = TypeVar("Result")


def in_time(talk: Callable[[], Result], conninfo: str, hint: str) -> Result:
    """What `talk` returns, or raises. Raises Error with this hint if it takes too long, or after
    Ctrl-C; then its connection is in use still. conninfo: tells which servers that is about."""
    ended: queue.SimpleQueue[tuple[list[Result], BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put(([talk()], None))
        except BaseException as failure:
            ended.put(([], failure))

    who = conninfo_to_dict(conninfo).get("host")
    try:
        threading.Thread(target=run, daemon=True).start()
        results, failure = ended.get(timeout=MAX_SECONDS)
    except queue.Empty:
        atexit.register(_end_at_once)
        message = f"no answer from {who} within {MAX_SECONDS:.0f} seconds"
        raise Error(message, hint) from None
    except KeyboardInterrupt:
        atexit.register(_end_at_once)
        message = f"interrupted; {who} may have done what it was asked"
        raise Error(message, "run the command again") from None
    if failure is not None:
        raise failure
    return results[0]


def _end_at_once() -> None:
    """Without OpenSSL's last steps, which take away what the thread computes with."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
