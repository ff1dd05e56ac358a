# SPDX-License-Identifier: MIT
"""Finishing what has begun to take effect, whatever the terminal does meanwhile."""

import contextlib
import signal
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def finish_undisturbed() -> None:
    """Ignores SIGINT, SIGHUP and SIGTERM from here to the end of the process.

    The rest takes a moment, and "interrupted; nothing was changed" would no longer be true.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


@contextlib.contextmanager
def later() -> Iterator[None]:
    """SIGINT, SIGHUP and SIGTERM arrive when the block has ended, not within it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
