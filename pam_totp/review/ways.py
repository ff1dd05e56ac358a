# SPDX-License-Identifier: MIT
"""The doors of a host: for each service, every way in, who it is open to, and what is proved on it.

What is not certain counts as open: a way that nobody can take may be listed, and none is left out.
"""

import dataclasses
from collections.abc import Iterator

from pam_totp.stack.factors import CODE, NO_CODE_NEEDED, ROOT, Factor
from pam_totp.stack.libpam import Libpam, Unknown, installed
from pam_totp.stack.service import OTHER, Service, read_service
from pam_totp.stack.services_of_host import services_of_host
from pam_totp.stack.ways_in import Way, ways_in, words_of

# Programs that users run: pam_rootok.so succeeds there for root alone. A daemon is always root, so
# it would accept everybody.
RUN_BY_USERS = ("su", "su-l", "chsh", "chfn", "runuser", "runuser-l", "groupmems", "config-util")
# Programs that ask PAM who may do something, and never who somebody is (no pam_authenticate).
WITHOUT_LOGINS = ("cron", "crond", "atd", "systemd-user", "passwd", "chpasswd", "newusers")
ROOTS_RIGHTS = "root"


@dataclasses.dataclass(frozen=True)
class WayIn:
    """One way into a service.

    words: what is proved on it, such as "key, then code", "key alone" or "nothing". who: "" for
    everybody, "others", "root", or a class such as "borg from 192.0.2.7". is_exempt: without a
    code, and that is meant: by a rule, the setting `enrollment`, or root's own rights. reason: in
    words, such as "rule of line 3"; rule_line: of the settings, 0 where none exempts. lines: those
    that lead there, in order, each with its file and number.
    """

    words: str
    who: str = ""
    has_code: bool = False
    is_exempt: bool = False
    reason: str = ""
    rule_line: int = 0
    lines: tuple[str, ...] = ()

    @property
    def is_finding(self) -> bool:
        """Whether it is a way in without a code that nothing exempts."""
        return not self.has_code and not self.is_exempt

    @property
    def text(self) -> str:
        """For people, without who."""
        return f"{self.words} ({self.reason})" if self.reason else self.words


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
    def text(self) -> str:
        """All ways in one line, by whom they are open to."""
        if self.unknown:
            return f"unknown: {self.unknown}"
        people: dict[str, list[str]] = {}
        for way in self.ways:
            people.setdefault(way.who, []).append(way.text)
        shown = [f"{who}: {' · '.join(ways)}" if who else " · ".join(ways)
                 for who, ways in people.items()]  # fmt: skip
        return " · ".join(shown) or "nobody"


def ways_of_host(root: str = "", libpam: Libpam | None = None) -> list[ServiceWays]:
    """Every service that users log in by, by name. Raises Unknown where there is no libpam.

    A service without auth lines has those of `other`, which is listed for all of them.
    """
    libpam = libpam or installed(root)
    names = [name for name in services_of_host(libpam, root) if name not in WITHOUT_LOGINS]
    found = (ways_of_service(name, root, libpam) for name in names)
    return [each for each in found if each is not None]


def ways_of_service(name: str, root: str = "", libpam: Libpam | None = None) -> ServiceWays | None:
    """The ways into one service; None if it says nothing of logins. Raises Unknown where there is
    no libpam."""
    libpam = libpam or installed(root)
    try:
        service = read_service(name, libpam, root)
        if not service.refused and "auth" not in service.own and name != OTHER:
            return None
        ways = tuple(_ways(service))
    except Unknown as unknown:
        return ServiceWays(name, unknown=str(unknown))
    return ServiceWays(name, _told_apart(ways), faults=tuple(service.faults))


def _ways(service: Service) -> Iterator[WayIn]:
    found = ways_in(service)
    with_code = {_first_factors(way) for way in found if CODE in way.proved}
    for way in found:
        first, has_code = _first_factors(way), CODE in way.proved
        if NO_CODE_NEEDED in way.proved and first in with_code:
            continue  # the same line asks all others for the code
        is_root = ROOT in way.proved and service.name in RUN_BY_USERS
        silent = {NO_CODE_NEEDED, ROOT} if is_root else {NO_CODE_NEEDED}
        yield WayIn(
            words_of(tuple(each for each in way.proved if each not in silent)),
            who=ROOTS_RIGHTS if is_root else "",
            has_code=has_code,
            is_exempt=is_root and not has_code,
            lines=tuple(step.words for step in way.steps),
        )


def _first_factors(way: Way) -> frozenset[Factor]:
    return frozenset(way.proved) - {CODE, NO_CODE_NEEDED}


def _told_apart(ways: tuple[WayIn, ...]) -> tuple[WayIn, ...]:
    """Without those that are said already; who the others are, where somebody is named."""
    if any(way.who for way in ways):
        ways = tuple(dataclasses.replace(way, who=way.who or "others") for way in ways)
    ways = tuple(sorted(ways, key=lambda way: way.who == "others"))
    said: dict[tuple[str, str], WayIn] = {}
    for way in ways:
        said.setdefault((way.who, way.text), way)
    return tuple(said.values())
