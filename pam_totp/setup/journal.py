# SPDX-License-Identifier: MIT
"""The record of a change that nobody has kept yet: what each file was and will be.

/var/lib/pam-totp/changes, which only root can read, has the record `current`, a folder for each
change, by its number, and in that the files as they were before, below `before`. The newest 20
are kept.

- The record MUST be on the disk before the first file is touched, and MUST NOT change from then on:
  it says what to take back, whatever was done of it.
- What becomes of the change is one rename: of `current` to NUMBER/kept or to NUMBER/taken-back.
- All that reads or ends a record MUST hold the lock.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage.lock import try_lock
from pam_totp.records.storage.state_dir import VAR, write
from pam_totp.rules.reasons import Failure
from pam_totp.setup import holder
from pam_totp.setup.change import Change
from pam_totp.setup.record import Record, boot, now, pause, record_of, written
from pam_totp.setup.under_way import CURRENT, FOLDER, KIND

MAX_KEPT = 20  # changes, with the files as they were before
KEPT, TAKEN_BACK = "kept", "taken-back"
SECONDS_TO_LOCK = 60.0  # more than sshd takes to test, and to read, its settings


class Busy(Error):
    """Another command makes, keeps or takes back a change at this moment."""


@contextlib.contextmanager
def locked(*, waits: bool = False) -> Iterator[None]:
    """Nobody else makes, keeps or takes back a change meanwhile. Raises Error; Busy where somebody
    else is at it, and is still, if it `waits`, after SECONDS_TO_LOCK."""
    with _cannot("use the record of changes"):
        folder = VAR.open(KIND, make=True)
    assert folder is not None
    try:
        with _cannot("lock the record of changes"):
            _lock(folder, waits)
        yield
    finally:
        os.closerange(folder, folder + 1)  # an error is passed over: nothing is written by it


def _lock(folder: int, waits: bool) -> None:
    deadline = now() + (SECONDS_TO_LOCK if waits else 0)
    while not try_lock(folder):
        found = holder.of(folder)
        if found is not None:
            holder.go_on(found)
        if now() >= deadline:
            who = "another command" if found is None else f"another command (process {found})"
            hint = "run the command again" if found is None else f"ps -p {found}"
            raise Busy(f"{who} is changing files at this moment; nothing was changed", hint)
        pause(0.05)


def begin(change: Change, targets: tuple[str, ...], seconds: float | None, by: str) -> Record:
    """Records a change, durably, with copies of the files as they are. Raises Error."""
    with _cannot("record the change"):
        numbers = sorted(_numbers())
        number = max(numbers, default=0) + 1
        deadline = None if seconds is None else now() + seconds
        record = Record(number, change, targets, boot(), deadline, by)
        os.mkdir(record.folder, 0o700)
        for file in change.files:
            if file.before is not None:
                _copy(f"{record.backups}{file.path}", file.before)
        with contextlib.suppress(FileNotFoundError):  # of a command that was killed
            os.unlink(f"{FOLDER}/new")
        _write(f"{FOLDER}/new", written(record))
        os.rename(f"{FOLDER}/new", f"{FOLDER}/{CURRENT}")
        try:
            sync(FOLDER)
        except OSError:
            os.unlink(f"{FOLDER}/{CURRENT}")
            raise
    for old in numbers[:-MAX_KEPT]:
        shutil.rmtree(f"{FOLDER}/{old}", ignore_errors=True)
    return record


def current() -> Record | None:
    """The change that nobody has kept or taken back. Raises Error."""
    return _read(f"{FOLDER}/{CURRENT}")


def end(record: Record, how: str) -> None:
    """Says what became of the current change. Raises Error."""
    with _cannot("record what became of the change", but=""):
        os.rename(f"{FOLDER}/{CURRENT}", f"{record.folder}/{how}")
    # It is so from here on. If a power failure undoes that, the change is taken back (again).
    with contextlib.suppress(OSError):
        sync(record.folder)
        sync(FOLDER)


def last() -> tuple[Record, str] | None:
    """The newest change that is over, and what became of it: KEPT or TAKEN_BACK. Raises Error."""
    for number in sorted(_numbers(), reverse=True):
        for how in (KEPT, TAKEN_BACK):
            found = _read(f"{FOLDER}/{number}/{how}")
            if found is not None:
                return found, how
    return None


def became(record: Record) -> str:
    """KEPT or TAKEN_BACK; empty while the change is current."""
    ends = (KEPT, TAKEN_BACK)
    return next((how for how in ends if os.path.exists(f"{record.folder}/{how}")), "")


def keep_copy(record: Record, target: str, content: bytes) -> str:
    """Keeps what somebody else had edited; where. Raises OSError."""
    path = f"{record.folder}/edited{target}"
    _copy(path, content)
    return path


def sync(folder: str) -> None:
    """Makes the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _numbers() -> list[int]:
    try:
        return [int(name) for name in os.listdir(FOLDER) if name.isdecimal()]
    except FileNotFoundError:
        return []


def _copy(path: str, content: bytes) -> None:
    before = os.umask(0o077)  # makedirs gives the mode to the last folder alone
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    finally:
        os.umask(before)
    _write(path, content)


def _write(path: str, content: bytes) -> None:
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write(folder, os.path.basename(path), content)
    finally:
        os.close(folder)


def _read(path: str) -> Record | None:
    try:
        with open(path, "rb") as file:
            return record_of(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}", f"namei -l {path}") from None
    except ValueError:
        message = f"the record of a change is malformed: {path}"
        raise Error(
            message, f"restore the files from {FOLDER}/*/before, then remove {path}"
        ) from None


@contextlib.contextmanager
def _cannot(what: str, but: str = "; nothing was changed") -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        fault, hint = repair.split(failure.detail, FOLDER)
        raise Error(f"cannot {what}: {fault}{but}", hint) from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), FOLDER)
        raise Error(f"cannot {what}: {fault}{but}", hint) from None
