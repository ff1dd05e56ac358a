# SPDX-License-Identifier: MIT
"""The addresses of the servers. libpq would look each name up itself, and wait for as long as the
name server takes.

A name is looked up by a thread, of which there is one for each name at most: one that hangs cannot
be ended. Until it answers, the addresses that the name had before are used.
"""

import socket
import threading
import time

from pam_totp.agent.outcome import left

FRESH_SECONDS = 60.0
# How long a name that hangs keeps those waiting that were found.
PATIENCE_SECONDS = 0.3
MAX_ADDRESSES = 4  # of one name


class Names:
    """Looks names up, and remembers what was found."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[str] = set()
        # By name: when it was looked up, and what was found, or why nothing was.
        self._found: dict[str, tuple[float, list[str]]] = {}
        self._failed: dict[str, str] = {}

    def addresses(
        self, names: list[str], until: float
    ) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """Each name with each of its addresses; and of names without any why that is."""
        names = list(dict.fromkeys(names))
        with self._changed:
            for name in names:
                self._begin(name)
            waits_for_all = time.monotonic() + PATIENCE_SECONDS
            while pending := [name for name in names if name in self._running]:
                has_some = any(name in self._found for name in names)
                seconds = left(min(until, waits_for_all) if has_some else until)
                if not seconds or not self._changed.wait(seconds):
                    break
            found = [
                (name, address) for name in names for address in self._found.get(name, (0, []))[1]
            ]
            known = {name for name, _ in found}
            failed = {
                name: "its name is still being looked up" if name in pending else self._failed[name]
                for name in names
                if name not in known
            }
        return found, failed

    def _begin(self, name: str) -> None:
        at, _ = self._found.get(name, (0.0, []))
        if name in self._running or (at and time.monotonic() - at < FRESH_SECONDS):
            return
        self._running.add(name)
        threading.Thread(target=self._look_up, args=(name,), daemon=True).start()

    def _look_up(self, name: str) -> None:
        found, failed = [], "its name has no address"
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, ValueError) as failure:  # ValueError: no name at all
            failed = f"its name cannot be looked up: {failure.args[-1]}"
        with self._changed:
            if found:
                self._found[name] = (time.monotonic(), found[:MAX_ADDRESSES])
            self._failed[name] = failed
            self._running.discard(name)
            self._changed.notify_all()
