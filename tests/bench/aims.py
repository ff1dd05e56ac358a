# SPDX-License-Identifier: MIT
"""What the figures should be, beside what they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.bench import (
    credentials,
    descriptors,
    fleet,
    growth,
    importing,
    in_fleet,
    listing,
    logins,
    many,
    policies,
    programs,
    sending,
    steps,
)
from tests.bench.rounds import Measured

MAX_TIME, MAX_MEMORY = 1.25, 1.20
# With an interpreter for each, both programs took 1.22 of two idle ones: 0.62 of that.
MAX_STEP, MAX_TO_IDLE, MAX_LOGIN = 1.0, 0.76, 1.05
# 11 ms and 2.6 s where a bare interpreter takes 6.0 ms: on other machines as many of those.
MAX_LOGIN_CPU, MAX_LISTING = 11 / 6.0, 2600 / 6.0
MAX_MANY = 0.5
MAX_POLICY, MAX_RULES, MAX_CREDENTIALS, MAX_GROWTH = 1.5, 1.08, 1.10, 1.05


@dataclass(frozen=True)
class Aim:
    """`figure` is a ratio, or None where it could not be measured; with a unit a difference."""

    what: str
    figure: float | None
    most: float
    unit: str = ""

    def line(self) -> str:
        if self.figure is None:
            figure, mark = "", "not measured"
        else:
            figure = f"{self.figure:.2f}{self.unit}"
            mark = "ok" if self.figure <= self.most else "MISSED"
        return f"  {self.what:<52}{figure:>10}{self.most:>9.2f}  {mark}"


class Figures:
    """By section and name."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._all = {(each.candidate.section, each.candidate.name): each for each in measured}

    def wall_ratio(self, section: str, name: str, base: str) -> float | None:
        own, other = self._all.get((section, name)), self._all.get((section, base))
        return own.wall_ratio(other) if own and other else None

    def in_interpreters(self, milliseconds: float | None) -> float | None:
        """So many bare interpreters take that time on this machine."""
        bare = self._all.get((programs.SECTION, programs.BARE))
        return milliseconds / bare.cpu if bare and milliseconds is not None else None

    def seconds(self, section: str, name: str) -> float | None:
        own = self._all.get((section, name))
        return own.wall / 1000 if own else None

    def seconds_over(self, section: str, name: str, base: str) -> float | None:
        own, other = self._all.get((section, name)), self._all.get((section, base))
        return own.wall_over(other) / 1000 if own and other else None

    def cpu_over(self, section: str, name: str, base: str) -> float | None:
        own, other = self._all.get((section, name)), self._all.get((section, base))
        return own.cpu_over(other) if own and other and other.cpu else None


def render(measured: Sequence[Measured], memory: Mapping[str, float]) -> str:
    """One line an aim, marked ok or MISSED."""
    figures = Figures(measured)
    every = [
        *of_programs(figures, memory),
        *of_stacks(figures),
        *of_logins(figures),
        *of_sending(figures),
        *of_records(figures),
        *of_commands(figures),
        *of_many(figures),
        *of_fleet(figures),
    ]
    return "\n".join(["", f"{'aims':<54}{'is':>10}{'at most':>9}", *(aim.line() for aim in every)])


def of_programs(figures: Figures, memory: Mapping[str, float]) -> Iterator[Aim]:
    bare = programs.BARE
    for name in programs.OURS:
        ratio = figures.wall_ratio(programs.SECTION, name, bare)
        yield Aim(f"{name}: time to bare interpreter", ratio, MAX_TIME)
    for name in programs.OURS:
        peak = memory[name] / memory[bare] if memory else None
        yield Aim(f"{name}: peak memory to bare", peak, MAX_MEMORY)


def of_stacks(figures: Figures) -> Iterator[Aim]:
    section = steps.section_of(descriptors.OTHERS)
    ratio = figures.wall_ratio(section, steps.OURS, steps.INTERPRETERS)
    yield Aim(f"pam_totp to two idle interpreters, at {descriptors.OTHERS:,}", ratio, MAX_TO_IDLE)
    section = steps.section_of(descriptors.SYSTEMD)
    ratio = figures.wall_ratio(section, steps.OURS, steps.PASSWORD)
    yield Aim(f"pam_totp to pam_unix, at {descriptors.SYSTEMD:,}", ratio, MAX_STEP)


def of_logins(figures: Figures) -> Iterator[Aim]:
    for number in range(1, logins.RUNS + 1):
        section = logins.section_of(number)
        ratio = figures.wall_ratio(section, logins.OURS, logins.GOOGLE)
        yield Aim(f"ssh login to google-authenticator's, run {number}", ratio, MAX_LOGIN)
    for number in range(1, logins.RUNS + 1):
        over = figures.cpu_over(logins.section_of(number), logins.OURS, logins.GOOGLE)
        figure = figures.in_interpreters(over)
        what = f"ssh server's CPU over google's, interpreters, run {number}"
        yield Aim(what, figure, MAX_LOGIN_CPU)


def of_sending(figures: Figures) -> Iterator[Aim]:
    for name in (sending.GAMMU, sending.WORKS, sending.GONE, sending.FULL, sending.HANGS):
        seconds = figures.seconds_over(sending.SECTION, name, sending.APP)
        yield Aim(f"{name}: a login longer by", seconds, sending.MAX_MORE_SECONDS, " s")


def of_many(figures: Figures) -> Iterator[Aim]:
    ratio = figures.wall_ratio(many.SECTION, many.OURS, many.GOOGLE)
    yield Aim(f"{many.OURS} to google's", ratio, MAX_MANY)


def of_records(figures: Figures) -> Iterator[Aim]:
    ratio = figures.wall_ratio(credentials.SECTION, credentials.MANY, credentials.ONE)
    yield Aim("verify: 32 credentials to 1", ratio, MAX_CREDENTIALS)
    for rules in (policies.FEW, policies.MANY):
        gate = policies.name_of(policies.GATE_NAME, rules)
        ratio = figures.wall_ratio(policies.SECTION, gate, programs.BARE)
        yield Aim(f"gate with {rules:,} rules to bare interpreter", ratio, MAX_POLICY)
    name = policies.VERIFY_NAME
    none, many = (policies.name_of(name, rules) for rules in (policies.NONE, policies.MANY))
    ratio = figures.wall_ratio(policies.SECTION, many, none)
    yield Aim(f"{name}, {policies.MANY:,} rules to none", ratio, MAX_RULES)
    for name in growth.GROWING:
        few, many = (growth.name_of(name, number) for number in (growth.FEW, growth.MANY))
        ratio = figures.wall_ratio(growth.SECTION, many, few)
        what = f"{name.partition(':')[0]}: {growth.MANY:,} users to {growth.FEW}"
        yield Aim(what, ratio, MAX_GROWTH)


def of_fleet(figures: Figures) -> Iterator[Aim]:
    for name in in_fleet.NAMES[:2]:
        here, there = (in_fleet.name_of(name, each) for each in (in_fleet.HERE, in_fleet.FLEET))
        ratio = figures.wall_ratio(in_fleet.SECTION, there, here)
        yield Aim(f"{name}: in a fleet to in the homes", ratio, in_fleet.MAX_RATIO)
    seconds = figures.seconds(fleet.SECTION, fleet.CORRECT)
    yield Aim(f"store: {fleet.TRIES:,} codes, 600 a second", seconds, fleet.MAX_SECONDS, " s")
    seconds = figures.seconds(fleet.STORM_SECTION, fleet.RECONNECT)
    yield Aim(f"store: {fleet.STORM} hosts connect", seconds, fleet.MAX_STORM_SECONDS, " s")
    megabytes = fleet.sizes.get(fleet.SIZE)
    yield Aim(f"store: {fleet.SIZE}", megabytes, fleet.MAX_MEGABYTES, " MB")
    megabytes = fleet.sizes.get(fleet.MEMORY)
    yield Aim(f"store: {fleet.MEMORY}", megabytes, fleet.MAX_CONNECTION_MEGABYTES, " MB")


def of_commands(figures: Figures) -> Iterator[Aim]:
    seconds = figures.seconds(listing.SECTION, listing.NAME)
    figure = figures.in_interpreters(seconds and seconds * 1000)
    yield Aim(f"{listing.NAME}, interpreters", figure, MAX_LISTING)
    seconds = figures.seconds(importing.SECTION, importing.NAME)
    yield Aim(f"import of {importing.USERS:,} users", seconds, importing.MAX_SECONDS, " s")
