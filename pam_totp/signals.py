# SPDX-License-Identifier: MIT
"""Finishing what has begun to take effect, whatever the terminal does meanwhile."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def finish_undisturbed() -> None:
    """Ignores SIGINT, SIGHUP and SIGTERM from here to the end of the process.

    The rest takes a moment, and "interrupted; nothing was changed" would no longer be true.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
