# SPDX-License-Identifier: MIT
"""What takes a change back where the command that made it no longer can.

The command and its watcher each hold a lock on a file of the change's folder for as long as they
live: the kernel lets go of it however they end. The watcher is a process of its own session, which
no closed terminal reaches. Where systemd runs, it starts the watcher, and has a timer besides.

- The watcher MUST hold its lock before the first file is touched.
- It MUST NOT follow a clock that somebody can set: what counts is the seconds since boot.
"""

import contextlib
import fcntl
import os
import subprocess
import time

from pam_totp.errors import Error
from pam_totp.setup import cron, holder, journal, reload
from pam_totp.setup.record import Record, boot, now, pause
from pam_totp.setup.under_way import FOLDER

COMMAND, WATCHER = "command", "watcher"
PROGRAM = "/usr/libexec/pam-totp/roll-back"
SECONDS_TO_START = 10.0
SECONDS_OF_GRACE = 30.0
OVER = "nobody kept it within the time"
_SECONDS_BETWEEN_LOOKS = 0.1
_held: list[int] = []  # until this process ends


def hold(record: Record, who: str) -> None:
    """This process is the command or the watcher of a change, until it ends. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(f"{record.folder}/{who}", flags, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    _held.append(file)


def let_go() -> None:
    """The end of that, before the process ends."""
    while _held:
        os.close(_held.pop())


def is_alive(record: Record, who: str) -> bool:
    """Whether the command or the watcher of a change is there."""
    try:
        file = os.open(f"{record.folder}/{who}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(file)


def is_cared_for(record: Record) -> bool:
    """Whether there is somebody who keeps the change or takes it back."""
    if record.boot != boot():
        return False
    if record.deadline is not None and now() > record.deadline + SECONDS_OF_GRACE:
        return False  # the command was stopped (Ctrl-Z), or hangs
    return is_alive(record, COMMAND) or is_alive(record, WATCHER)


def start(record: Record) -> None:
    """Starts the watcher, and the timer of a trial. Raises Error, OSError."""
    command = [PROGRAM, "--watch", str(record.number)]
    unit = f"pam-totp-change-{record.number}"
    # It says no where its /run is seen from a chroot.
    if not reload.has_systemd() or not _start_unit([f"--unit={unit}", *command]):
        if record.deadline is not None:
            cron.begin(PROGRAM)
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
    elif record.deadline is not None:
        seconds = f"--on-active={record.seconds_left:.3f}s"
        timer = [f"--unit={unit}-timeout", seconds, "--timer-property=AccuracySec=100ms"]
        _start_unit([*timer, PROGRAM, str(record.number)])
    deadline = time.monotonic() + SECONDS_TO_START
    while not is_alive(record, WATCHER):
        if time.monotonic() > deadline:
            raise Error(
                "the process that would take the change back did not start", f"ls -l {PROGRAM}"
            )
        pause(0.01)


def stop_timer(record: Record) -> None:
    """The change is kept or taken back; without this, the timer would find nothing to do."""
    if record.deadline is None:
        return
    cron.end()
    if reload.has_systemd():
        reload.run(["systemctl", "stop", f"pam-totp-change-{record.number}-timeout.timer"])


def wait(record: Record) -> str:
    """Waits until the change has to be taken back, and says why; empty once it is over."""
    while is_alive(record, COMMAND):
        if journal.became(record):
            return ""
        if record.deadline is None:
            _wake()  # nobody can be meant to wait for it
        elif record.seconds_left <= 0:
            return OVER
        pause(_SECONDS_BETWEEN_LOOKS)
    return "" if journal.became(record) else "the command ended without an answer"


def _wake() -> None:
    """Lets a command go on that changes files and is stopped."""
    with contextlib.suppress(OSError):
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = holder.of(folder)
            if found is not None:
                holder.go_on(found)
        finally:
            os.close(folder)


def _start_unit(arguments: list[str]) -> bool:
    return reload.run(["systemd-run", "--quiet", "--collect", *arguments])[0] == 0
