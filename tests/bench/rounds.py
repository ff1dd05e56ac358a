# SPDX-License-Identifier: MIT
"""Candidates, measured in turns: each round runs every one once, in random order."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WARM_UP_ROUNDS = 3


class UnexpectedResult(Exception):
    """A candidate did not accept, or refuse, as it should."""


@dataclass(frozen=True)
class Sample:
    """One run: wall clock, and processor time (user and system), in ms. `cpu` is 0 if unknown."""

    wall: float
    cpu: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """`run` does one run and raises UnexpectedResult; what it has to reset is not timed.

    `base` is the name of the candidate that its ratio refers to, in the same section.
    """

    section: str
    name: str
    base: str
    run: Callable[[], Sample]


@dataclass
class Measured:
    """The samples of a candidate, one a round."""

    candidate: Candidate
    samples: list[Sample] = field(default_factory=list)

    @property
    def wall(self) -> float:
        return statistics.median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        return statistics.median(sample.cpu for sample in self.samples)

    def wall_ratio(self, base: "Measured") -> float:
        """The median of the ratios within a round: what slowed a round slowed both."""
        return statistics.median(own.wall / other.wall for own, other in self._pairs(base))

    def cpu_ratio(self, base: "Measured") -> float:
        return statistics.median(own.cpu / other.cpu for own, other in self._pairs(base))

    def wall_over(self, base: "Measured") -> float:
        """The median of the differences within a round, in ms."""
        return statistics.median(own.wall - other.wall for own, other in self._pairs(base))

    def cpu_over(self, base: "Measured") -> float:
        """The median of the differences within a round, in ms."""
        return statistics.median(own.cpu - other.cpu for own, other in self._pairs(base))

    def _pairs(self, base: "Measured") -> list[tuple[Sample, Sample]]:
        return list(zip(self.samples, base.samples, strict=True))

    @property
    def spread(self) -> float:
        """Half of the median's 95 % interval (from order statistics), as a share of it."""
        walls = sorted(sample.wall for sample in self.samples)
        reach = 0.98 * math.sqrt(len(walls))
        low = walls[max(0, round(len(walls) / 2 - reach))]
        high = walls[min(len(walls) - 1, round(len(walls) / 2 + reach))]
        return (high - low) / 2 / self.wall


def run(
    candidates: Sequence[Candidate], at_least: int, at_most: int, stable: float
) -> list[Measured]:
    """Rounds until the `spread` of every median is at most `stable`, in the candidates' order."""
    measured = [Measured(candidate) for candidate in candidates]
    for _ in range(WARM_UP_ROUNDS):
        for candidate in candidates:
            candidate.run()
    for number in range(1, at_most + 1):
        for each in random.sample(measured, len(measured)):
            each.samples.append(each.candidate.run())
        if number >= at_least and all(each.spread <= stable for each in measured):
            break
    return measured
