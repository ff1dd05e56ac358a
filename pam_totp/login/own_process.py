"""Resets what a login program inherits from its caller before it does anything: scheduling and
signals MUST NOT affect a decision.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIG_UNBLOCK,
    SIGALRM,
    alarm,
    pthread_sigmask,
    signal,
)

ANY_PROCESSOR = range(1024)  # the kernel leaves those out that there are not


def begin(most_seconds: int) -> None:
    """From here on this process has a normal share of the machine, and ends, refusing, after so
    many seconds wherever it hangs. A caller who is idle or pinned to a busy processor would keep
    the account's lock from everybody else."""
    signal(SIGALRM, SIG_DFL)  # no handler: Python's would wait for the call that hangs
    pthread_sigmask(SIG_UNBLOCK, {SIGALRM})
    alarm(most_seconds)
    if posix.geteuid() != 0:
        return
    try:
        posix.sched_setscheduler(0, posix.SCHED_OTHER, posix.sched_param(0))
        posix.setpriority(posix.PRIO_PROCESS, 0, 0)
        posix.sched_setaffinity(0, ANY_PROCESSOR)
    except OSError:
        pass  # a sandbox forbids it: then it goes on with what it has
