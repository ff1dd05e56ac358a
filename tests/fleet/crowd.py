# SPDX-License-Identifier: MIT
"""Many people who log in at both hosts of a fleet at once, and an account of every answer."""

import random
import threading
import time
from collections import Counter

from tests.faults.sizes import choose
from tests.faults.test_kills import SEED
from tests.fleet.whole_fleet import Fleet, Host

THREADS = 3  # for each host, as many as an agent keeps connections
SECONDS = 30
JUST_NOW = 40  # people
SECONDS_TO_PAUSE = 0.02  # after an answer that the store did not give

RUNS = range(choose(1, 50))  # of each test whose moments are left to dice


def dice_of(run: int) -> random.Random:
    """The same for the same PAM_TOTP_SEED, which is shown if the test fails."""
    print(f"PAM_TOTP_SEED={SEED}")
    return random.Random(f"{SEED} {run}")


class Crowd:
    """Each person's code, the same at both hosts, again and again as long as the context lasts.

    One that was refused, or not answered, is tried again: that is how a code that somebody saw
    would be used. accepted: the persons whose code was accepted, once for each time.
    """

    def __init__(self, fleet: Fleet, count: int, dice: random.Random) -> None:
        self.people = fleet.people(count)
        self.code = fleet.code()
        self.accepted: list[str] = []
        self.kinds: Counter[str] = Counter()
        self._come = 0  # how many of them
        self._dice = dice
        self._account = threading.Condition()
        self._left = threading.Event()
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._ask_until_the_end, args=[host], daemon=True)
            for host in fleet.hosts * THREADS
        ]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Everybody leaves. Raises what went wrong, such as a question that was never answered."""
        self._left.set()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def wait_until(self, more: int) -> None:
        """Until so many more people were accepted."""
        with self._account:
            wanted = len(self.accepted) + more
            assert self._account.wait_for(
                lambda: len(self.accepted) >= wanted or self._failure is not None, SECONDS
            ), f"only {len(self.accepted)} of {wanted} were accepted; {self.kinds}"

    def wait_for(self, reason: str, times: int) -> None:
        """Until so many have got this answer in all."""
        with self._account:
            assert self._account.wait_for(
                lambda: self.kinds[reason] >= times or self._failure is not None, SECONDS
            ), f"not {times} times {reason}: {self.kinds}"

    def accepted_twice(self) -> list[str]:
        return [person for person, times in Counter(self.accepted).items() if times > 1]

    def _ask_until_the_end(self, host: Host) -> None:
        try:
            while not self._left.is_set():
                self._ask(host, self._somebody())
        except BaseException as failure:
            with self._account:
                self._failure = self._failure or failure
                self._account.notify_all()

    def _somebody(self) -> str:
        """Somebody new half of the time, or somebody who has just been there."""
        with self._account:
            if self._dice.random() < 0.5 or not self._come:
                self._come = min(self._come + 1, len(self.people))
                return self.people[self._come - 1]
            return self._dice.choice(self.people[: self._come][-JUST_NOW:])

    def _ask(self, host: Host, person: str) -> None:
        answer = host.check(person, self.code)
        with self._account:
            self.kinds[answer.reason if answer.kind == "ok" else answer.kind] += 1
            if answer.accepted:
                self.accepted.append(person)
            self._account.notify_all()
        if answer.kind != "ok":
            time.sleep(SECONDS_TO_PAUSE)
