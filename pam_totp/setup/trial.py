# SPDX-License-Identifier: MIT
"""The trial of a change: it is in place, and goes back by itself unless somebody keeps it.

- The terminal MUST NOT be needed to take it back: what is written to a lost one is given up.
- Every end but a yes MUST take it back: no answer within the time, Ctrl-C, a lost connection.
- Ctrl-Z MUST NOT stop it.
"""

import argparse
import re
import shlex
import signal
import time
from collections.abc import Callable
from types import FrameType

from pam_totp.enrollment.terminal import describe_seconds
from pam_totp.errors import Error, give_output_up
from pam_totp.listing import fit
from pam_totp.setup import apply, attempt, journal, login_log, recorded
from pam_totp.setup.answers import Answers, Lost
from pam_totp.setup.change import Change
from pam_totp.setup.record import Record
from pam_totp.signals import SIGNALS, STOPS

USUAL = "10m"
MAX_SECONDS = 86400
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SECONDS_BETWEEN_LOOKS = 0.2
_QUESTION = "Keep it? [y/N] "
_WHY = {
    signal.SIGINT: "it was interrupted",
    signal.SIGHUP: "the connection was lost",
    signal.SIGTERM: "the command was ended",
}
_LOST = "the connection was lost"


def duration(text: str) -> int:
    """A length of time such as 90s, 10m or 1h, in seconds; argparse's type."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smh])", text, re.ASCII)
    if not match or int(match[1]) * _UNITS[match[2]] > MAX_SECONDS:
        raise argparse.ArgumentTypeError("must be a time such as 90s, 10m or 1h, at most 24h")
    return int(match[1]) * _UNITS[match[2]]


def run(
    change: Change,
    seconds: int,
    *,
    check: Callable[[], None] | None = None,
    by: str = "root",
    log_in: str = "Log in from another terminal now.",
    tell: Callable[[str], None] | None = None,
    again: str = "",
) -> Record:
    """Puts a change in, shows the attempts to log in there, asks, and keeps it after a yes.

    check, by: of apply.put_in. log_in: what the administrator is to do, in a sentence. tell: shows
    a line in place of standard output; it may raise OSError. again: the command that was typed.
    Raises Error where it was taken back, with the reason.
    """
    again = again or shlex.join(["pam-totp", change.kind, *change.services])
    return _Trial(change, seconds, tell, again).run(check, by, log_in)


class _Trial:
    def __init__(
        self, change: Change, seconds: int, tell: Callable[[str], None] | None, again: str
    ) -> None:
        self._change, self._seconds, self._tell, self._again = change, seconds, tell, again
        self._reader = attempt.Reader(change.services)
        self._recorded = recorded.RecordedLogins()
        self._ended_by = ""  # why it is to be taken back
        self._has_logged_in = self._is_asked = False
        self._answers = Answers()

    def run(self, check: Callable[[], None] | None, by: str, log_in: str) -> Record:
        before = {each: signal.signal(each, self._end) for each in SIGNALS}
        # A stopped command could not take it back, nor be answered.
        before |= {each: signal.signal(each, signal.SIG_IGN) for each in STOPS}
        log = login_log.follow()
        try:
            applied = apply.put_in(self._change, seconds=self._seconds, check=check, by=by)
            self._begin(applied, log.name, log_in)
            if not self._wait(applied.record, log):
                fault = self._take_back(applied.record)
                if journal.became(applied.record) != journal.KEPT:
                    raise fault
            return self._keep(applied.record)
        finally:
            log.close()
            for each, handler in before.items():
                signal.signal(each, handler)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._ended_by = self._ended_by or _WHY[signal.Signals(number)]

    def _begin(self, applied: apply.Applied, log: str, log_in: str) -> None:
        self._say(*applied.said)
        self._say(f"The files as they were before are in {applied.record.backups}.")
        self._say(
            f"This is a trial of {describe_seconds(self._seconds)}.",
            "Unless you keep it, it all goes back then, or after Ctrl-C or a lost connection.",
        )
        self._say(f"{log_in} Keep this session open.")
        self._say(f"Attempts, from {log}:")

    def _wait(self, record: Record, log: login_log.Log) -> bool:
        """Whether somebody here keeps it, or somebody else has done so."""
        while not self._ended_by:
            if how := journal.became(record):
                if record.seconds_left > 0:
                    self._ended_by = "another session ended it"
                return how == journal.KEPT
            if record.seconds_left <= 0:
                return False
            self._show(record, log)
            answer = self._read_answer()
            if answer is not None:
                return answer
        return False

    def _show(self, record: Record, log: login_log.Log) -> None:
        for line in log.lines():
            found = self._reader.read(line)
            if found is None:
                continue
            self._say(f"  {time.strftime('%H:%M:%S')}  {found.words}")
            if found.user and self._recorded.has(found.user):
                self._has_logged_in = True
                recorded.note(record)
                self._say(f"{found.user} has logged in with a code.")
        if self._has_logged_in and not self._is_asked:
            self._is_asked = True
            self._write(_QUESTION)

    def _read_answer(self) -> bool | None:
        """True: keep it; False: take it back; None: nothing was answered yet."""
        try:
            lines = self._answers.lines(_SECONDS_BETWEEN_LOOKS)
        except Lost:
            self._ended_by = self._ended_by or _LOST
            return False
        return next((answer for line in lines if (answer := self._answer(line)) is not None), None)

    def _answer(self, line: str) -> bool | None:
        word = line.strip().lower()
        if self._is_asked:
            if word in ("y", "yes"):
                return True
            self._ended_by = "the answer was no"
            return False
        if word in ("n", "no"):
            self._ended_by = "the answer was no"
            return False
        self._say(
            "Nobody has logged in with a code yet. To keep it all the same, run in another session:"
            " pam-totp confirm. To take it back now, press Ctrl-C."
        )
        return None

    def _keep(self, record: Record) -> Record:
        self._is_asked = False
        if journal.became(record) == journal.KEPT:
            self._say("", "It was kept by another session.")
        else:
            apply.keep(record)
            self._say("Kept.")
        return record

    def _take_back(self, record: Record) -> Error:
        """Takes it back, unless somebody else has; the error that ends the command."""
        what = "answered" if self._has_logged_in else "logged in with a code"
        why = self._ended_by or f"nobody {what} within {describe_seconds(self._seconds)}"
        if self._is_asked or self._ended_by == _WHY[signal.SIGINT]:  # after the question, or ^C
            self._is_asked = False
            self._say("")
        try:
            self._say(*apply.take_back(record, why))
        except Error as fault:
            return Error(f"{why}; {fault.message}", fault.hint)
        return Error(f"{why}; everything was taken back", self._again)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._write(f"\n{line}\n" if self._is_asked else f"{line}\n")
        if lines and self._is_asked:
            self._write(_QUESTION)

    def _write(self, text: str) -> None:
        try:
            if self._tell is None:
                print(fit(text), end="", flush=True)
            elif text.strip("\n"):
                self._tell(text.strip("\n"))
        except OSError:
            give_output_up()
            self._ended_by = self._ended_by or _LOST
