# SPDX-License-Identifier: MIT
"""What a login program inherits from its caller: pam_exec's variables, which it goes by, and
scheduling and signals, which MUST NOT affect a decision.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import _signal  # type: ignore[import-not-found]
import posix

from pam_totp.rules.request import Request

_VARIABLES = (b"PAM_USER", b"PAM_SERVICE", b"PAM_RHOST", b"PAM_RUSER", b"PAM_TTY")
ANY_PROCESSOR = range(1024)  # the kernel leaves those out that there are not


def begin(most_seconds: int) -> None:
    """From here on this process has a normal share of the machine, and is ended after so many
    seconds wherever it hangs, which is never a yes. A caller who is idle or pinned to a busy
    processor would keep the account's lock from everybody else."""
    # No handler: Python's would wait for the call that hangs.
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGALRM})
    _signal.alarm(most_seconds)
    if posix.geteuid() != 0:
        return
    try:
        posix.sched_setscheduler(0, posix.SCHED_OTHER, posix.sched_param(0))
        posix.setpriority(posix.PRIO_PROCESS, 0, 0)
        posix.sched_setaffinity(0, ANY_PROCESSOR)
    except OSError:
        pass  # a sandbox forbids it: then it goes on with what it has


def read_request(environment: dict[bytes, bytes]) -> Request:
    """Who logs in, and where and how. Only sshd reports a key, in a variable that it alone sets."""
    user, service, rhost, ruser, tty, methods = (
        environment.get(name, b"").decode("utf-8", "surrogateescape")
        for name in (*_VARIABLES, b"SSH_AUTH_INFO_0")
    )
    keys = [method for method in methods.split("\n") if method.startswith("publickey ")]
    key = keys[0] if keys and service == "sshd" else ""
    return Request(user=user, service=service, rhost=rhost, ruser=ruser, tty=tty, key=key)
