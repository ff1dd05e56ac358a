# SPDX-License-Identifier: MIT
"""Short-lived state, in /run/pam-totp/UID: the last time step accepted from each credential, and
the recent incorrect codes.

- A process that reads in order to decide MUST hold the lock until the decision is recorded.
- The record MUST be written before the code is accepted. It is one write over a file of fixed size:
  once the file is there, a full file system or a killed process cannot tear it.

Format, ASCII: the line "pam-totp attempts 1", then lines "step IDENTITY STEP" and at most one
"failures IN_A_ROW LAST BUDGET_USED" (seconds since boot), then spaces up to SIZE_BYTES. An empty
file, or one of spaces, is an empty record. Of incorrect recovery codes there is the number in a
row, in place of a step (pam_totp.records.user.recovery); an accepted code of any kind ends it.

Callers that are not root, such as screen lockers, keep theirs in /run/user/UID/pam-totp.

With the store of a fleet nothing is counted here: all tries, also of codes that this host has sent,
count in the store (pam_totp.login.check_sent_in_fleet). Only the lock is used, for those codes.
"""

import posix
import time
from errno import EACCES, EAGAIN, ENOENT

from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.state_dir import RUN, StateDir
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.throttle import Failures

SIZE_BYTES = 4096
LOCK_SECONDS = 5.0

_HEADER = "pam-totp attempts 1"


class Attempts:
    """One user's record, locked from construction to `close`. Raises Failure.

    steps: the last accepted time step, by the credential's identity; failures: the recent incorrect
    codes. `folder`: where it is, instead of the usual place.
    """

    __slots__ = ("_file", "failures", "steps", "uid")

    def __init__(self, uid: int, folder: str = "") -> None:
        self.uid, self._file = uid, -1
        kept_in = _kept_in(folder)
        path = f"{kept_in.path}/{uid}"
        try:
            directory = kept_in.open(make=True)
            if directory is None:
                raise FileNotFoundError(ENOENT, "No such file or directory")
            with Opened(directory):
                flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC
                self._file = posix.open(str(uid), flags, 0o600, dir_fd=directory)
            _lock(self._file)
            self.steps, self.failures = _read(self._file, path)
        except BaseException as failure:
            self.close()
            if not isinstance(failure, OSError):
                raise
            hint = " (systemd makes /run/user at a login)" if kept_in is not RUN else ""
            raise Failure(STATE_UNAVAILABLE, f"{path}: {failure.strerror}{hint}") from None

    def close(self) -> None:
        """Releases the lock."""
        if self._file >= 0:
            posix.close(self._file)
            self._file = -1

    def record(self, steps: dict[str, int], failures: Failures) -> None:
        """Records both in place of what was there. Raises Failure."""
        lines = [_HEADER, *(f"step {name} {step}" for name, step in steps.items())]
        times = f"{int(failures.last)} {int(failures.budget_used)}"
        lines.append(f"failures {failures.in_a_row} {times}\n")
        record = "\n".join(lines).encode("ascii")
        if len(record) >= SIZE_BYTES:
            raise Failure(STATE_UNAVAILABLE, "cannot record: too many credentials")
        try:
            # Where the caller's RLIMIT_FSIZE, which su passes on, would cut the record off, nothing
            # of it is written: first the last byte, always a space; in a new file spaces alone,
            # which are no record however many get there.
            if posix.fstat(self._file).st_size == SIZE_BYTES:
                posix.pwrite(self._file, b" ", SIZE_BYTES - 1)
            elif posix.pwrite(self._file, b" " * SIZE_BYTES, 0) != SIZE_BYTES:
                raise Failure(STATE_UNAVAILABLE, "cannot record: file size limit, or full disk")
            written = posix.pwrite(self._file, record.ljust(SIZE_BYTES), 0)
        except OSError as failure:
            raise Failure(STATE_UNAVAILABLE, f"cannot record: {failure.strerror}") from None
        if written != SIZE_BYTES:
            raise Failure(STATE_UNAVAILABLE, "cannot record: No space left on device")
        self.steps, self.failures = steps, failures


def look(uid: int) -> tuple[dict[str, int], Failures]:
    """Used time steps and incorrect codes, read without the lock: to display, not to decide.
    Raises Failure."""
    path = f"{_kept_in().path}/{uid}"
    try:
        flags = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC
        with Opened(posix.open(path, flags)) as file:
            return _read(file, path)
    except FileNotFoundError:
        return {}, Failures()
    except OSError as failure:
        raise Failure(STATE_UNAVAILABLE, f"{path}: {failure.strerror}") from None


def boot_seconds() -> float:
    """The clock of the throttle: only goes forward, sleep included, whatever people set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _kept_in(folder: str = "") -> StateDir:
    uid = posix.geteuid()
    if uid == 0 and not folder:
        return RUN
    return StateDir(path=folder or f"/run/user/{uid}/pam-totp", is_volatile=True, owner=uid)


def _lock(file: int) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            posix.lockf(file, posix.F_TLOCK, 0)
            return
        except OSError as failure:
            if failure.errno not in (EAGAIN, EACCES) or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _read(file: int, path: str) -> tuple[dict[str, int], Failures]:
    content = posix.pread(file, SIZE_BYTES + 1, 0)
    steps: dict[str, int] = {}
    failures = Failures()
    try:
        header, *lines = content.decode("ascii").rstrip(" \n").split("\n")
        if header not in ("", _HEADER) or len(content) > SIZE_BYTES:
            raise ValueError
        for line in lines:
            word, *values = line.split(" ")
            if word == "step":
                identity, step = values
                steps[identity] = int(step)
            elif word == "failures":
                in_a_row, last, budget_used = (int(value) for value in values)
                if not all(0 <= number < 1 << 53 for number in (in_a_row, last, budget_used)):
                    raise ValueError
                failures = Failures(in_a_row=in_a_row, last=last, budget_used=budget_used)
            else:
                raise ValueError
    except ValueError:
        raise Failure(STATE_UNAVAILABLE, f"{path} is malformed; run: rm {path}") from None
    return steps, failures
