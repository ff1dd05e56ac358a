# SPDX-License-Identifier: MIT
"""A way into a service, and all ways into one: what `doctor`, `enable` and `explain` show. Pure."""

import dataclasses

OTHERS, NOTHING = "others", "nothing"


@dataclasses.dataclass(frozen=True)
class WayIn:
    """One way into a service.

    words: what is proved on it, such as "key, then code", "key alone" or "nothing". who: "" for
    everybody, "others", "root", or a class such as "borg from 192.0.2.7". is_exempt: without a
    code, and that is meant: by a rule, or by root's own rights. reason: in words, such as "rule of
    line 3"; rule_line: of the settings, 0 where none exempts. lines: those that lead there, in
    order, each with its file and number. is_without_code: by two factors, none of them a code.
    """

    words: str
    who: str = ""
    has_code: bool = False
    is_exempt: bool = False
    reason: str = ""
    rule_line: int = 0
    lines: tuple[str, ...] = ()
    is_without_code: bool = False

    @property
    def is_finding(self) -> bool:
        """Whether it is a way in without a second factor that nothing exempts."""
        return not self.has_code and not self.is_exempt and not self.is_without_code

    @property
    def text(self) -> str:
        """For people, without who."""
        words = "needs nothing" if self.who and self.words == NOTHING else self.words
        return f"{words} ({self.reason})" if self.reason else words


@dataclasses.dataclass(frozen=True)
class ServiceWays:
    """A service and the ways into it; without any, nobody gets in. unknown: why the ways cannot be
    determined; then nothing is proved. faults: what libpam cannot use in its files."""

    name: str
    ways: tuple[WayIn, ...] = ()
    unknown: str = ""
    faults: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[WayIn, ...]:
        """The ways in without a code that nothing exempts."""
        return tuple(way for way in self.ways if way.is_finding)

    @property
    def by_people(self) -> list[str]:
        """The ways in, a text for each class of people that they are open to."""
        people: dict[str, list[str]] = {}
        for way in self.ways:
            people.setdefault(way.who, []).append(way.text)
        return [
            f"{who}: {' · '.join(ways)}" if who else " · ".join(ways)
            for who, ways in people.items()
        ]

    @property
    def text(self) -> str:
        """All ways in one line."""
        if self.unknown:
            return f"unknown: {self.unknown}"
        return " · ".join(self.by_people) or "nobody"


def told_apart(ways: list[WayIn]) -> tuple[WayIn, ...]:
    """Each once; whoever is named comes first, and everybody else is "others" then. Where others
    enter a code, something is enough "alone". What a rule says of root, who needs nothing by root's
    own rights, is left out."""
    free = {way.who for way in ways if way.words == NOTHING and way.is_exempt and not way.reason}
    ways = [way for way in ways if not (way.rule_line and way.who in free)]
    if any(way.has_code for way in ways):
        ways = [way if way.has_code or way.is_without_code else _alone(way) for way in ways]
    if any(way.who for way in ways):
        ways = [dataclasses.replace(way, who=way.who or OTHERS) for way in ways]
    said: dict[tuple[str, str], WayIn] = {}
    for way in sorted(ways, key=lambda way: way.who == OTHERS):
        said.setdefault((way.who, way.text), way)
    return tuple(said.values())


def _alone(way: WayIn) -> WayIn:
    return way if way.words == NOTHING else dataclasses.replace(way, words=f"{way.words} alone")
