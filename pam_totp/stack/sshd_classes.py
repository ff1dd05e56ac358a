# SPDX-License-Identifier: MIT
"""The classes of logins that sshd's Match blocks tell apart, and one login of each. Pure.

Two logins are of one class if the same blocks apply to both and both are of root, or neither is;
sshd treats them alike.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from pam_totp.stack.search import TooManyWays
from pam_totp.stack.sshd_config import Block
from pam_totp.stack.sshd_match import (
    ELSEWHERE,
    FIRST,
    Criteria,
    Login,
    Network,
    example_addresses,
    examples,
    is_within,
    meets,
)

MAX_CLASSES, MAX_COMBINATIONS = 128, 20_000
# What says nothing of how users log in, but of what they may do then.
OF_SESSIONS = (
    *("acceptenv", "allowagentforwarding", "allowstreamlocalforwarding", "allowtcpforwarding"),
    *("banner", "channeltimeout", "chrootdirectory", "clientalivecountmax", "clientaliveinterval"),
    *("disableforwarding", "forcecommand", "gatewayports", "ipqos", "loglevel", "logverbose"),
    *("maxsessions", "permitlisten", "permitopen", "permittty", "permittunnel", "permituserrc"),
    *("rekeylimit", "setenv", "streamlocalbindmask", "streamlocalbindunlink", "subsystem"),
    *("unusedconnectiontimeout", "x11displayoffset", "x11forwarding", "x11uselocalhost"),
)
PORT = 22
ADDRESSES, HOSTS = 1, 2
# The criteria about what each list of _values differs in.
OF_EACH = (
    ("user", "group", "version"),
    ("address",),
    ("host",),
    ("localaddress",),
    ("localport",),
    ("rdomain",),
)


@dataclasses.dataclass(frozen=True)
class Class:
    """blocks: that apply, those outside of any Match too. example: one of its logins. named: of the
    users whom a criterion names in full, those who can be in it."""

    example: Login
    blocks: tuple[Block, ...]
    named: tuple[str, ...] = ()

    @property
    def criteria(self) -> list[tuple[str, str]]:
        """What its blocks demand, each thing once."""
        return list(dict.fromkeys(one for block in self.blocks for one in block.criteria))

    @property
    def is_root(self) -> bool:
        """Whether it is root's, for whom PermitRootLogin is."""
        return self.example.is_root


def that_matter(blocks: Sequence[Block]) -> list[Block]:
    """Without the Match blocks that say nothing of how users log in, such as those for sftp."""
    return [
        block
        for block in blocks
        if not block.is_match or any(each.keyword not in OF_SESSIONS for each in block.settings)
    ]


def of_nobody(blocks: Sequence[Block], classes: Sequence[Class]) -> list[Block]:
    """The Match blocks about logins that no listed user can be in, such as those of an empty group:
    a directory may have members that it does not list. sshd cannot be asked about them."""
    judged = {b for each in classes if not each.example.is_unlisted for b in each.blocks}
    return [block for block in that_matter(blocks) if block.is_match and block not in judged]


def classes_of(
    blocks: Sequence[Block], people: Sequence[Login], sources: Sequence[Network] = ()
) -> list[Class]:
    """Every class that one of these people can be in; the fewest blocks first.

    people: one login of each user; only the user and the groups count. sources: the networks that
    they come from; none: any. Raises Unknown, TooManyWays.
    """
    criteria = list(dict.fromkeys(one for block in blocks for one in block.criteria))
    values = _values(criteria, people, sources)
    for at, names in enumerate(OF_EACH):
        if at != HOSTS:
            also = ("host",) if at == ADDRESSES else ()
            values[at] = _different(values[at], _of(criteria, *names, *also))
    if math.prod(map(len, values)) > MAX_COMBINATIONS:
        raise TooManyWays
    masks = [
        [_met(each, criteria, names) for each in alike]
        for alike, names in zip(values, OF_EACH, strict=True)
    ]
    masks[HOSTS][0] = 0  # it has none, and the address is its name
    by_address = [_met(each, criteria, ("host",)) for each in values[ADDRESSES]]
    needs = [sum(1 << criteria.index(one) for one in {*block.criteria}) for block in blocks]
    found: dict[tuple[bool, tuple[bool, ...]], tuple[int, ...]] = {}
    members: dict[tuple[bool, tuple[bool, ...]], set[int]] = {}
    for chosen in itertools.product(*(range(len(alike)) for alike in values)):
        met = sum(of_one[at] for of_one, at in zip(masks, chosen, strict=True))
        if chosen[HOSTS] == 0:
            met |= by_address[chosen[ADDRESSES]]
        key = values[0][chosen[0]].is_root, tuple(not need & ~met for need in needs)
        found.setdefault(key, chosen)
        members.setdefault(key, set()).add(chosen[0])
        if len(found) > MAX_CLASSES:
            raise TooManyWays
    named, of_users = _named(criteria, people), _of(criteria, *OF_EACH[0])
    classes = []
    for key, chosen in found.items():
        users = {values[0][at] for at in members[key]}
        inside = tuple(
            each.user for each in named if any(_is_alike(each, one, of_users) for one in users)
        )
        example = _login([alike[at] for alike, at in zip(values, chosen, strict=True)])
        classes.append(Class(example, tuple(itertools.compress(blocks, key[1])), inside))
    return sorted(classes, key=lambda each: len(each.blocks))


def _met(login: Login, criteria: Criteria, names: tuple[str, ...]) -> int:
    """The criteria of these names that a login meets, a bit for each."""
    met = (at for at, one in enumerate(criteria) if one[0] in names and meets(login, one))
    return sum(1 << at for at in met)


def _login(parts: list[Login]) -> Login:
    """One login of those of _values, each of which says one thing."""
    user, address, host, here, port, rdomain = parts
    return dataclasses.replace(
        user,
        address=address.address,
        host=host.host or address.address,
        local_address=here.local_address,
        local_port=port.local_port,
        rdomain=rdomain.rdomain,
    )


def _of(criteria: Criteria, *names: str) -> Criteria:
    """The criteria of these names."""
    return [one for one in criteria if one[0] in names]


def _named(criteria: Criteria, people: Sequence[Login]) -> list[Login]:
    """The people whom a criterion names in full."""
    names = {each for name, argument in criteria if name == "user" for each in argument.split(",")}
    return [each for each in people if each.user in names]


def _values(
    criteria: Criteria, people: Sequence[Login], sources: Sequence[Network]
) -> list[list[Login]]:
    """Lists of logins that differ in one thing: the user, the address, the name of the host, the
    address and the port at this end, the routing domain."""
    addresses = [*ELSEWHERE, *example_addresses(criteria, "address", "host"), *FIRST]
    if sources:  # a cell that begins before a network does has the first address of it
        first = [str(network[0]) for network in sources]
        addresses = [*first, *(each for each in addresses if is_within(each, sources))]
    here = ["127.0.0.1", "::1", *example_addresses(criteria, "localaddress"), *FIRST]
    named = [int(each) for each in examples(criteria, "localport") if each.isdigit()]
    another = next(port for port in range(PORT + 1, 65536) if port not in named)
    ports = [PORT, *named, another]
    one = Login("")
    return [
        list(people),
        [dataclasses.replace(one, address=each, host=each) for each in addresses],
        # Without a name sshd has the address in its place, as it does with its UseDNS no.
        [dataclasses.replace(one, host=each) for each in ("", *examples(criteria, "host"))],
        [dataclasses.replace(one, local_address=each) for each in here],
        [dataclasses.replace(one, local_port=each) for each in ports],
        [dataclasses.replace(one, rdomain=each) for each in ("", *examples(criteria, "rdomain"))],
    ]


def _different(values: list[Login], criteria: Criteria) -> list[Login]:
    """One of those that meet the same criteria."""
    found: dict[tuple[bool, ...], Login] = {}
    for each in values:
        met = (meets(each, one) for one in criteria)
        found.setdefault((each.is_root, *met), each)
    return list(found.values())


def _is_alike(one: Login, other: Login, criteria: Criteria) -> bool:
    return _different([one, other], criteria) == [one]
