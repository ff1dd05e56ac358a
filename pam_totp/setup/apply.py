# SPDX-License-Identifier: MIT
"""Putting a change into place, all of it or nothing; keeping it, or taking it back.

- Every file MUST be the old one or the new one, whole, at any moment, also after kill -9.
- What is there MUST be what the change was made for; else nothing is touched.
- What takes the change back MUST be there before the first file is touched (watch.py).
- A change that nobody kept MUST be taken back by the next one who finds it: the watcher, systemd's
  timer or boot unit, the next command of root's.
"""

import dataclasses
from collections.abc import Callable

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.host import action_log
from pam_totp.setup import journal, place, reload, replacement, watch
from pam_totp.setup.change import Change
from pam_totp.setup.journal import KEPT, TAKEN_BACK
from pam_totp.setup.record import Record
from pam_totp.setup.under_way import has_current
from pam_totp.signals import finish_undisturbed, later
from pam_totp.stack import turned_on

NOTHING = "; nothing was changed"


@dataclasses.dataclass(frozen=True)
class Applied:
    """record: what takes it back; record.backups: the folder with the files as they were before,
    each below its own path. said: sentences for the administrator, about sshd."""

    record: Record
    said: tuple[str, ...]


def put_in(
    change: Change,
    *,
    seconds: float | None = None,
    check: Callable[[], None] | None = None,
    by: str = "root",
    is_watched: bool = True,
) -> Applied:
    """Writes all files of the change, and has sshd read its settings again.

    seconds: of a trial: unless it is kept, everything goes back by itself after that. None: it
    stays. check: looks at the result before sshd reads it; an Error of it takes everything back.
    by: who does it, for the log. is_watched: whether something waits to take it back. Raises
    Error: then nothing is changed.
    """
    with later(), journal.locked():
        record = _begin(change, seconds, by)
        try:
            watch.hold(record, watch.COMMAND)
            if is_watched:
                watch.start(record)
            replacement.stage(record)
            said = replacement.put(record, check)
            if seconds is None:
                _end(record, KEPT)
        except BaseException as failure:
            raise _nothing_changed(record, failure) from None
        _log("tried" if seconds else "done", record, "")
        if seconds is None:
            finish_undisturbed()
    return Applied(record, (said,) if said else ())


def keep(record: Record | None = None) -> Record:
    """Keeps the change that is on trial; this one, if one is given. Raises Error."""
    with journal.locked(waits=True), later():
        found = journal.current()
        if found is None or found.deadline is None or (record and found.number != record.number):
            raise Error("no trial is running", "pam-totp status")
        if not replacement.is_in(found):
            raise Error("the change is being taken back", "pam-totp status")
        _end(found, KEPT)
        finish_undisturbed()
    _log(KEPT, found, "confirmed")
    return found


def take_back(record: Record, why: str) -> tuple[str, ...]:
    """Takes a change back that nobody has kept; what was done, in sentences, none where it is over.
    Edits of others stay, where they touch no line of the change. Raises Error where a file could
    not be; then it is still to be taken back."""
    with journal.locked(waits=True), later():
        found = journal.current()
        if found is None or found.number != record.number:
            return ()
        said = replacement.take_back(found, reloads=found.change.reloads_sshd)
        _end(found, TAKEN_BACK)
    _log(TAKEN_BACK, found, why)
    return tuple(said)


def recover() -> tuple[str, ...]:
    """Takes back a change that nobody cares for any more: the command and its watcher are gone, or
    the machine was started since; what was done, in sentences, if anything was. Raises Error."""
    if not has_current():
        return ()
    try:
        with later(), journal.locked():
            found = journal.current()
            if found is None or watch.is_cared_for(found):
                return ()
            said = replacement.take_back(found, reloads=found.change.reloads_sshd)
            _end(found, TAKEN_BACK)
    except journal.Busy:
        return ()
    _log(TAKEN_BACK, found, "its command had ended")
    return tuple(said)


def running_trials() -> list[Record]:
    """The trial that runs now, if one does. Raises Error."""
    found = journal.current()
    return [found] if found is not None and found.deadline is not None else []


def _begin(change: Change, seconds: float | None, by: str) -> Record:
    """Raises Error where the change cannot be made."""
    try:
        _take_over(change.kind)
        targets = tuple(place.real_path(file.path) for file in change.files)
        for file, target in zip(change.files, targets, strict=True):
            replacement.refuse_if_changed(file, target)
        return journal.begin(change, targets, seconds, by)
    except (Error, OSError) as failure:
        raise _unchanged(failure, change.files[0].path) from None


def refuse_during_a_change(kind: str) -> None:
    """Raises Error where another change is under way. kind: of the new one."""
    found = journal.current()
    if found is not None and watch.is_cared_for(found):
        services = ", ".join(found.change.services)
        hint = "pam-totp confirm --take-back" if kind == "disable" else "pam-totp confirm"
        raise Error(f"a trial of {services} is running{NOTHING}", hint)


def _take_over(kind: str) -> None:
    """The same; takes a change back that nobody cares for."""
    refuse_during_a_change(kind)
    found = journal.current()
    if found is not None:
        replacement.take_back(found, reloads=found.change.reloads_sshd)
        _end(found, TAKEN_BACK)
        _log(TAKEN_BACK, found, "its command had ended")


def _end(record: Record, how: str) -> None:
    journal.end(record, how)
    paths = [file.path for file in record.change.files]
    turned_on.accept_losses([path for path in paths if path.startswith(replacement.PAM)])
    replacement.clear_away(record)
    watch.let_go()
    watch.stop_timer(record)
    if how == KEPT:
        turned_on.remember()


def _nothing_changed(record: Record, failure: BaseException) -> BaseException:
    """Takes all back; the error that says so."""
    try:
        # sshd was told after the last file, if it was: then none is as it was before.
        is_told = record.change.reloads_sshd and not isinstance(failure, reload.NotTold)
        reloads = is_told and replacement.is_in(record)
        replacement.take_back(record, reloads=reloads)
        _end(record, TAKEN_BACK)
    except (Error, OSError) as worse:
        watch.let_go()  # and the watcher tries once more
        return Error(f"{_words(failure)}; {_words(worse)}", "pam-totp status")
    return _unchanged(failure, record.targets[0])


def _unchanged(failure: BaseException, path: str) -> BaseException:
    if isinstance(failure, Error):
        fault, hint = failure.message, failure.hint
    elif isinstance(failure, OSError):
        fault, hint = repair.split(_words(failure), str(failure.filename or path))
    else:
        return failure
    return Error(f"{fault.removesuffix(NOTHING)}{NOTHING}", hint)


def _words(failure: BaseException) -> str:
    if isinstance(failure, OSError) and failure.strerror:
        return ": ".join(filter(None, [failure.filename, failure.strerror]))
    return str(failure)


def _log(what: str, record: Record, why: str) -> None:
    services = ",".join(record.change.services)
    action_log.write(f"{record.change.kind}-{what}", services=services, by=record.by, detail=why)
