# SPDX-License-Identifier: MIT
"""How new the newest state of the store is that this host has seen.

"Not enrolled" is an answer that lets people in without a code. So a database that was restored, or
a standby that was promoted before it had everything, is believed only if it is not older than what
this host has seen: of a higher epoch (an administrator said so: `pam-totp store restored`), or with
at least as many enrollments and resets behind it.

The file `seen`: "pam-totp seen 1 STORE EPOCH ENROLLED_COUNT INCARNATION" and a line end.
"""

import os
import threading
from pathlib import Path

from pam_totp.rules.record import Record

MAX_BYTES = 4096


class State(Record):
    """What a server says of its store. incarnation: which server wrote last, on which timeline;
    enrolled_count: of all enrollments and resets; enrolled_before: the same when this incarnation
    began."""

    epoch: int
    incarnation: str
    enrolled_count: int
    enrolled_before: int


class Seen:
    """Remembers it in a file of this folder, for the store of this id."""

    def __init__(self, folder: str, store: str) -> None:
        self.path = Path(folder, "seen")
        self._store = store
        self._lock = threading.Lock()
        self._newest: tuple[int, int, str] | None = None  # epoch, enrolled_count, incarnation
        self.fault = ""
        try:
            self._newest = self._read()
        except (OSError, ValueError) as failure:
            why = failure.strerror if isinstance(failure, OSError) else "is malformed"
            unbelieved = "so the store is not believed about who is not enrolled"
            self.fault = f"{self.path}: {why}, {unbelieved}; run: rm {self.path}"

    def believes(self, state: State) -> bool:
        """Whether a server that says this may say that somebody is not enrolled. Remembers it."""
        with self._lock:
            if self.fault or not is_as_new(state, self._newest):
                return False
            newest = (state.epoch, state.enrolled_count, state.incarnation)
            if newest != self._newest:
                self._write(*newest)
                self._newest = newest
            return True

    def has_seen_its_successor(self, state: State) -> bool:
        """Whether this host has seen a server that took the place of the one that says this."""
        with self._lock:
            return self._newest is not None and is_superseded(state, self._newest)

    def _read(self) -> tuple[int, int, str] | None:
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_BYTES).decode("ascii")
        except FileNotFoundError:
            return None
        name, word, version, store, epoch, count, incarnation = content.split()
        if [name, word, version] != ["pam-totp", "seen", "1"]:
            raise ValueError("another format")
        if store != self._store:
            return None  # this host has joined another one
        return int(epoch), int(count), incarnation

    def _write(self, epoch: int, count: int, incarnation: str) -> None:
        """Durably. A full disk changes no answer: it is as if this host had not seen it."""
        line = f"pam-totp seen 1 {self._store} {epoch} {count} {incarnation}\n"
        new = self.path.with_suffix(".new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            new.rename(self.path)
        except OSError:
            pass


def is_as_new(state: State, newest: tuple[int, int, str] | None) -> bool:
    """Whether the state is not older than the newest one: epoch, enrolled_count, incarnation."""
    if newest is None:
        return True
    epoch, count, incarnation = newest
    if state.epoch != epoch:
        return state.epoch > epoch
    # A server that was promoted counts on from what it had then: only that is common to both.
    if state.incarnation != incarnation:
        return state.enrolled_before >= count
    return state.enrolled_count >= count


def is_superseded(state: State, newest: tuple[int, int, str]) -> bool:
    """Whether a server is on an earlier timeline of PostgreSQL than the newest one: it is still, or
    again, a primary although another one was promoted. Both would accept a code once."""
    epoch, _, incarnation = newest
    system, timeline = _timeline(incarnation)
    its_system, its_timeline = _timeline(state.incarnation)
    return state.epoch <= epoch and its_system == system and its_timeline < timeline


def _timeline(incarnation: str) -> tuple[str, str]:
    """The system identifier, and the timeline in eight hex digits; an incarnation begins with
    both."""
    system, _, rest = incarnation.partition("/")
    return system, rest.partition("/")[0]
