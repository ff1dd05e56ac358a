# SPDX-License-Identifier: MIT
"""Finishing what has begun to take effect, whatever the terminal does meanwhile."""

import contextlib
import signal
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
# Those of the terminal that stop a process, and with it whatever waits for what it holds: Ctrl-Z,
# and reading or writing in the background. Nothing keeps SIGSTOP off: see setup/holder.py.
STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def finish_undisturbed() -> None:
    """Ignores SIGINT, SIGHUP and SIGTERM from here to the end of the process.

    The rest takes a moment, and "interrupted; nothing was changed" would no longer be true.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


@contextlib.contextmanager
def later() -> Iterator[None]:
    """SIGINT, SIGHUP, SIGTERM and Ctrl-Z arrive when the block has ended, not within it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, *STOPS))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def calling(told: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGINT raises nothing, and calls this."""
    before = signal.signal(signal.SIGINT, lambda *_: told())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
