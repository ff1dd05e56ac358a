"""What takes effect is finished and told, whatever the terminal does meanwhile."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def finish_undisturbed() -> None:
    """From here to the end of the process Ctrl-C, a hang-up and a kill without -9 are ignored.

    What is left takes a moment, and "interrupted: nothing was changed" would not be true any more.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
