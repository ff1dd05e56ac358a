# SPDX-License-Identifier: MIT
"""Making the running sshd read its settings again.

- sshd MUST have accepted the settings (`sshd -t`) before it is told to: at a fault it would end.
- A signal MUST reach the sshd that listens, and nothing else: its pid file MUST be root's, and the
  process MUST be root's and sshd's program.
"""

import contextlib
import os
import signal
import stat
import subprocess
import time
from collections.abc import Sequence

from pam_totp.errors import Error
from pam_totp.setup.record import pause
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd import on_one_line
from pam_totp.stack.sshd_config import PATH
from pam_totp.stack.sshd_running import is_of_root, server_of

SSHD = "/usr/sbin/sshd"
MAX_SECONDS = 20
_SYSTEMD = "/run/systemd/system"  # sd_booted(3)
_UNITS = ("ssh.service", "sshd.service")
_SOCKETS = ("ssh.socket", "sshd.socket")
_PID_FILE, NO_FILE = "/run/sshd.pid", "none"  # which is no path
_SECONDS_TO_LISTEN = 5.0
_NOBODY = (0, 0)


class NotTold(Error):
    """An sshd listens, and nobody has told it to read its settings again."""


def test_settings() -> None:
    """Raises Error where sshd does not accept its settings, or is not there."""
    if not os.path.exists(SSHD):
        raise Error(f"there is no {SSHD}", "apt-get install openssh-server")
    with contextlib.suppress(OSError):  # sshd -t needs it, and says so; its unit makes it
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    code, told = run([SSHD, "-t"])
    if code != 0:
        raise Error(f"sshd -t: {told}", "sshd -t")


def reload_sshd() -> str:
    """What was done, in a sentence; also where nothing listens that could read them. Raises Error
    where an sshd runs that did not."""
    return _by_systemd() if has_systemd() else _by_signal()


def is_listening() -> bool:
    """Whether an sshd listens, which has read the settings; a session's has no use of them."""
    return any(_is_listener(int(name)) for name in os.listdir("/proc") if name.isdecimal())


def has_systemd() -> bool:
    """Whether systemd is process 1."""
    return os.path.isdir(_SYSTEMD)


def _by_systemd() -> str:
    for unit in _UNITS:
        if run(["systemctl", "is-active", "--quiet", unit])[0] == 0:
            path = _pid_file()
            before = _listener(path)
            code, told = run(["systemctl", "reload", unit])
            if code != 0:
                raise Error(f"systemctl reload {unit}: {told}", f"systemctl status {unit}")
            if before != _NOBODY:  # the unit sends a signal, and does not wait
                _wait_until_it_listens(path, before)
            return f"{unit} was reloaded."
    for unit in _SOCKETS:
        if run(["systemctl", "is-active", "--quiet", unit])[0] == 0:
            return f"{unit} starts sshd at the next connection, with the new settings."
    return _by_signal()


def _by_signal() -> str:
    path = _pid_file()
    before = _listener(path)
    if before == _NOBODY:
        if is_listening():
            raise _not_told(path)
        return "sshd is not running; it reads the new settings when it starts."
    os.kill(before[0], signal.SIGHUP)
    _wait_until_it_listens(path, before)
    return "sshd was reloaded."


def _not_told(path: str) -> NotTold:
    if path == NO_FILE:
        message = "sshd was not reloaded, because it writes no pid file (PidFile none)"
        return NotTold(message, f"set PidFile {_PID_FILE} in sshd_config, and restart sshd")
    message = f"sshd was not reloaded, because its pid file {path} does not name it"
    return NotTold(message, "systemctl restart ssh" if has_systemd() else f"restart {SSHD}")


def _wait_until_it_listens(path: str, before: tuple[int, int]) -> None:
    """sshd removes its pid file at SIGHUP, and writes it when it listens again. Raises Error."""
    deadline = time.monotonic() + _SECONDS_TO_LISTEN
    while time.monotonic() < deadline:
        if _listener(path) not in (_NOBODY, before):
            return
        pause(0.01)
    start = "systemctl restart ssh" if has_systemd() else SSHD
    raise Error("sshd did not listen again after SIGHUP", start)


def _pid_file() -> str:
    code, told = run([SSHD, "-T", "-C", "user=root,host=localhost,addr=127.0.0.1"], joined=False)
    for line in told.splitlines() if code == 0 else ():
        keyword, _, value = line.partition(" ")
        if keyword == "pidfile":
            return value
    return _PID_FILE


def _listener(path: str) -> tuple[int, int]:
    """The process that a pid file names, and when the file was written; 0, 0 if it is not sshd."""
    if path == NO_FILE:
        return _NOBODY
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return _NOBODY
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        named = file.read(32).strip()
    is_safe = stat.S_ISREG(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022
    if is_safe and named.isdigit() and _is_sshd(int(named)):
        return int(named), status.st_mtime_ns
    return _NOBODY


def _is_sshd(process: int) -> bool:
    try:
        program = os.readlink(f"/proc/{process}/exe").removesuffix(" (deleted)")  # upgraded since
        # From a chroot, one of the machine around it is seen, too.
        is_here = os.path.samefile(f"/proc/{process}/root", "/")
    except OSError:
        return False
    # Any user may run one, which nobody else has to tell anything.
    return is_here and program == os.path.realpath(SSHD) and is_of_root(process)


def _is_listener(process: int) -> bool:
    if not _is_sshd(process):
        return False
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            title = file.read().decode(errors="replace").rstrip("\0")
    except OSError:
        return False
    try:
        server = server_of(title)
    except Unknown:
        return True
    return server is not None and server.path == PATH


def run(command: Sequence[str], *, joined: bool = True) -> tuple[int, str]:
    """The exit code, and what was said, on one line if it is `joined`. Ctrl-C does not reach it."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        return 127, str(failure)
    return done.returncode, on_one_line(done.stdout) if joined else done.stdout
