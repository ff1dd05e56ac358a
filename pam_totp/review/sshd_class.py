# SPDX-License-Identifier: MIT
"""The classes of logins that sshd's Match blocks tell apart, with what sshd has set for each, and
as classes of people for the rules."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from pam_totp.review.open_to import People
from pam_totp.stack import sshd
from pam_totp.stack.people import people as people_of_host
from pam_totp.stack.sshd_classes import Class, classes_of, that_matter
from pam_totp.stack.sshd_config import Block, read_blocks
from pam_totp.stack.sshd_match import Login, network_of
from pam_totp.stack.sshd_running import Server
from pam_totp.stack.sshd_unlisted import with_their_blocks

SERVICE = "sshd"
OTHER_CRITERIA = {
    "host": "from host",
    "localaddress": "at address",
    "localport": "at port",
    "rdomain": "in routing domain",
}
USUAL = Server()


@dataclasses.dataclass(frozen=True)
class SshdClass:
    """A class of logins, the settings that sshd has for it, and the lists of methods that log it
    in. server: which sshd."""

    logins: Class
    settings: Mapping[str, str]
    methods: tuple[sshd.Way, ...]
    server: Server = USUAL


@dataclasses.dataclass(frozen=True)
class Classes:
    """What tells the logins at an sshd apart: its blocks, and the people of the host. found: every
    class that sshd may let in otherwise."""

    blocks: Sequence[Block]
    people: Sequence[Login]
    found: Sequence[SshdClass]


def classes_of_sshd(server: Server = USUAL) -> Classes:
    """By the configuration of this machine. Raises Unknown."""
    blocks = that_matter(read_blocks(server.path))
    people = people_of_host([one for block in blocks for one in block.criteria])
    found = []
    for each in classes_of(blocks, people):
        told = sshd.settings_of(each.example, server.path, server.options)
        settings = with_their_blocks(told, each.example, each.blocks)
        ways = sshd.ways(settings, uid=0 if each.is_root else 1)
        found.append(SshdClass(each, settings, tuple(ways), server))
    return Classes(blocks, people, found)


def people_of(each: SshdClass, has_key: str) -> People:
    """A class for the rules: at least these people, as far as rules can say it."""
    logins, wanted = each.logins, dict[str, tuple[str, ...]]()
    for name, argument in logins.criteria:
        patterns = [one for one in argument.split(",") if not one.startswith("!")]
        if patterns and "*" not in patterns and "[" not in argument:  # in a rule that is a set
            wanted.setdefault(name, tuple(patterns))
    if "user" in wanted and not any(set(one) & set("*?") for one in wanted["user"]):
        wanted["user"] = logins.named  # without those of whom other blocks are
    if logins.is_root:
        wanted["user"] = (logins.example.user,)
    networks = [network_of(one) for one in wanted.get("address", ())]
    sources = [
        f"{network.network_address.packed.hex()}/{network.prefixlen}"
        for network in networks
        if network is not None
    ]
    return People(
        SERVICE,
        wanted.get("user", ()),
        wanted.get("group", ()),
        tuple(sources) if len(sources) == len(networks) else (),
        is_remote=True,
        publickey=has_key,
        besides=" ".join([*_besides(logins), *filter(None, [each.server.words])]),
    )


def _besides(each: Class) -> Iterator[str]:
    """What the rules know nothing of."""
    for name, argument in each.criteria:
        excluded = [one[1:] for one in argument.split(",") if one.startswith("!")]
        if name in ("user", "group", "address") and excluded and not each.is_root:
            yield f"but {'members of ' if name == 'group' else ''}{', '.join(excluded)}"
        if name in OTHER_CRITERIA:
            yield f"{OTHER_CRITERIA[name]} {argument}"
