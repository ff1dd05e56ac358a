# SPDX-License-Identifier: MIT
"""Whether a login meets the criteria of a Match line, and which values its patterns tell apart.

As OpenSSH's match.c and addrmatch.c have it. Pure.
"""

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Sequence

from pam_totp.stack.libpam import Unknown

# Addresses for documentation (RFC 5737, RFC 3849), which no pattern is likely to name.
ELSEWHERE = ("203.0.113.77", "2001:db8:ffff::77")
FIRST = ("0.0.0.0", "::")  # of the cell before all networks
LAST = {4: 2**32 - 1, 6: 2**128 - 1}
TO_FILL_A_PATTERN = "7"
_ADDRESS = re.compile(r"[0-9.*?]+|[0-9a-f:*?]*:[0-9a-f:*?]*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Criteria = Sequence[tuple[str, str]]  # each a name in lower case, and its argument


@dataclasses.dataclass(frozen=True)
class Login:
    """A login as sshd sees it before it reads its Match blocks. groups: the user's, by name;
    is_root: has user id 0, for which PermitRootLogin is; is_unlisted: made up, for a group that no
    user of this host is in."""

    user: str
    groups: frozenset[str] = frozenset()
    is_root: bool = False
    address: str = ELSEWHERE[0]
    host: str = ELSEWHERE[0]
    local_address: str = "127.0.0.1"
    local_port: int = 22
    rdomain: str = ""
    is_unlisted: bool = False


def meets(login: Login, criterion: tuple[str, str]) -> bool:
    """Whether a login meets one criterion."""
    name, argument = criterion
    if name == "group":
        answers = [matches_list(group, argument) for group in login.groups]
        return True in answers and None not in answers
    if name in ("address", "localaddress"):
        is_local = name == "localaddress"
        address = login.local_address if is_local else login.address
        return matches_addresses(address, argument) is True
    if name == "localport":
        return argument == str(login.local_port)
    if name == "version":
        return True  # which sshd itself knows
    if name == "host":
        return matches_list(login.host.lower(), argument.lower()) is True
    values = {"user": login.user, "rdomain": login.rdomain}
    return name in values and matches_list(values[name], argument) is True


def matches_list(text: str, patterns: str) -> bool | None:
    """Whether a list of patterns matches; None if one after a `!` does."""
    found = False
    for is_negated, pattern in _parsed(patterns):
        if isinstance(pattern, str):
            does_match = text == pattern
        else:
            does_match = pattern.fullmatch(text) is not None
        if does_match:
            if is_negated:
                return None
            found = True
    return found


@functools.lru_cache(1000)
def _parsed(patterns: str) -> list[tuple[bool, str | re.Pattern[str]]]:
    """Each of a list, and whether a `!` is before it; compiled where it has wildcards."""
    bare = ((each.startswith("!"), each.removeprefix("!")) for each in patterns.split(","))
    return [(negated, _compiled(each) if set(each) & set("*?") else each) for negated, each in bare]


def matches_addresses(address: str, patterns: str) -> bool | None:
    """The same of a list of addresses, networks and patterns."""
    here, found = ipaddress.ip_address(address), False
    for each in patterns.split(","):
        network = network_of(each.removeprefix("!"))
        if network is None:
            does_match = _matches(address, each.removeprefix("!"))
        else:
            does_match = here.version == network.version and here in network
        if does_match:
            if each.startswith("!"):
                return None
            found = True
    return found


def _matches(text: str, pattern: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@functools.lru_cache(1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    text = "".join(parts.get(each, re.escape(each)) for each in re.sub(r"\*+", "*", pattern))
    return re.compile(text, re.DOTALL)


@functools.lru_cache(1000)
def network_of(text: str) -> Network | None:
    """The network of an address or of a prefix; None for a pattern with wildcards."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether one of the networks has the address."""
    here = ipaddress.ip_address(address)
    return any(here.version == each.version and here in each for each in networks)


def examples(criteria: Criteria, name: str) -> list[str]:
    """A value for each pattern of the criteria of this name, negated ones too. Raises Unknown where
    those may overlap, so that more values than these have to be told apart."""
    patterns = _patterns(criteria, name)
    # Of two that differ only in the end after a `*`, one has all that the other has, or nothing.
    overlapping = [each for each in patterns if re.search(r"[*?]", each.removeprefix("*"))]
    if overlapping and len(patterns) > 1:
        raise Unknown(f"the patterns of Match {name.capitalize()} cannot be told apart")
    return [re.sub(r"[*?]", TO_FILL_A_PATTERN, each) for each in patterns]


def example_addresses(criteria: Criteria, *names: str) -> list[str]:
    """An address of each cell that the networks of these criteria divide all addresses into, but
    the first: a cell begins where a network does, or right after one. Raises Unknown."""
    found = list[str]()
    patterns = [each for name in names for each in _patterns(criteria, name)]
    for text in patterns:
        network = network_of(text) or _of_octets(text)
        if network is None and "host" in names and not _ADDRESS.fullmatch(text):
            continue  # the name of a host
        if network is None and len(patterns) == 1:
            fillers = ("7", "7.7", "7.7.7", "7:7", "7:7:7:7", "7::7")
            filled = (network_of(re.sub(r"[*?]", each, text)) for each in fillers)
            network = next((each for each in filled if each), None)
        if network is None:
            raise Unknown(f"the addresses that match {text} cannot be told apart from others")
        found.append(str(network[0]))
        after = int(network[-1]) + 1
        if after <= LAST[network.version]:
            found.append(str(type(network[0])(after)))
    return list(dict.fromkeys(found))


def _patterns(criteria: Criteria, name: str) -> list[str]:
    lists = [argument.split(",") for each, argument in criteria if each == name]
    found = (each.removeprefix("!") for patterns in lists for each in patterns)
    return list(dict.fromkeys(each for each in found if each))


def _of_octets(pattern: str) -> Network | None:
    """The network of a pattern such as `192.0.2.*`."""
    octets = re.fullmatch(r"((?:[0-9]+\.){1,3})\*", pattern)
    if octets is None:
        return None
    count = octets[1].count(".")
    return network_of(f"{octets[1]}{'.'.join('0' * (4 - count))}/{8 * count}")
