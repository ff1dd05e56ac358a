# SPDX-License-Identifier: MIT
"""The program roll-back: takes a change back that nobody has kept. Nobody has to run it by hand.

roll-back             the one of a command that is gone, or that was begun before the machine was
                      started: for the boot, and for cron
roll-back --now       whatever is on trial: for a package that is removed
roll-back NUMBER      this one, if its time is over: for systemd's timer
roll-back --watch NUMBER
                      this one, when its time is over or its command is gone
"""

import signal
import sys
import syslog
from collections.abc import Callable
from types import FrameType

from pam_totp.errors import Error
from pam_totp.setup import apply, cron, journal, watch
from pam_totp.setup.record import Record, pause
from pam_totp.setup.under_way import has_current
from pam_totp.setup.watch import OVER
from pam_totp.signals import SIGNALS

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds between two tries


def main(arguments: list[str]) -> int:
    """0: nothing is left to be taken back; 1: it could not be; 2: wrong usage."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    match arguments:
        case []:
            if not has_current():
                cron.end()  # of a command that was killed at its end
            return _say_what(apply.recover)
        case ["--now"]:
            return _say_what(_take_back_now)
        case ["--watch", number] if number.isdecimal():
            return _watch(int(number))
        case [number] if number.isdecimal():
            return _take_back_late(int(number))
    print(
        "roll-back: error: unknown arguments\nhint: pam-totp confirm --take-back", file=sys.stderr
    )
    return 2


def _say_what(take_back: Callable[[], tuple[str, ...]]) -> int:
    try:
        said = take_back()
    except Error as fault:
        syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
        syslog.syslog(syslog.LOG_ERR, f"a change could not be taken back: {fault.message}")
        print(f"roll-back: error: {fault.message}\nhint: {fault.hint}", file=sys.stderr)
        return 1
    for sentence in said:
        print(sentence)
    return 0


def _take_back_now() -> tuple[str, ...]:
    found = journal.current()
    return apply.take_back(found, "it was ended") if found is not None else ()


def _take_back_late(number: int) -> int:
    def take_back() -> tuple[str, ...]:
        found = journal.current()
        if found is None or found.number != number or found.seconds_left > 0:
            return ()
        return apply.take_back(found, OVER)

    return _say_what(take_back)


def _watch(number: int) -> int:
    """Until the change is over; what could not be taken back is tried again and again."""
    found = journal.current()
    if found is None or found.number != number:
        return 1
    watch.hold(found, watch.WATCHER)
    why = _wait(found)
    seconds = _FIRST_PAUSE
    while why and not journal.became(found):
        if _say_what(lambda: apply.take_back(found, why)) == 0:
            break
        pause(seconds)
        seconds = min(2 * seconds, _LONGEST_PAUSE)
    return 0


def _wait(record: Record) -> str:
    """Why it has to be taken back: also because this process is told to end, as before a reboot."""
    for each in SIGNALS:
        signal.signal(each, _stop)
    try:
        why = watch.wait(record)
    except _Stopped:
        why = "the machine is shutting down"
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    return why


class _Stopped(Exception):
    """A signal has arrived."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped
