# SPDX-License-Identifier: MIT
"""The doors of a host: for each service, every way in, who it is open to, and what is proved on it.

What is not certain counts as open: a way that nobody can take may be listed, and none is left out.
"""

from collections.abc import Iterator

from pam_totp.records.config import settings
from pam_totp.records.config.settings import Settings
from pam_totp.review.open_to import People, Policy, policy_of
from pam_totp.review.proofs import Proof, proof_of, ways_of
from pam_totp.review.rule_names import LOCAL_SERVICES
from pam_totp.review.sshd_class import SERVICE as SSHD
from pam_totp.review.way_in import ServiceWays, WayIn, told_apart
from pam_totp.review.ways_of_sshd import ways_of_sshd
from pam_totp.rules.pattern import matches
from pam_totp.rules.reasons import Failure
from pam_totp.stack.factors import ROOT
from pam_totp.stack.files import File
from pam_totp.stack.libpam import Libpam, Unknown, installed
from pam_totp.stack.service import OTHER, Service, read_service
from pam_totp.stack.services_of_host import services_of_host
from pam_totp.stack.stack_faults import RUN_BY_USERS
from pam_totp.stack.sudoers import not_asked
from pam_totp.stack.ways_in import ways_in

SUDO = ("sudo", "sudo-i")
# Programs that never ask PAM who somebody is (no pam_authenticate), and what starts a greeter as
# the user that it has of its own.
WITHOUT_LOGINS = (
    *("cron", "crond", "atd", "systemd-user", "passwd", "chpasswd", "newusers"),
    *("gdm-launch-environment", "lightdm-greeter", "sddm-greeter", "greetd-greeter"),
)

__all__ = ["ServiceWays", "WayIn", "ways_of_host", "ways_of_service"]


def ways_of_host(
    root: str = "", libpam: Libpam | None = None, policy: Policy | None = None
) -> list[ServiceWays]:
    """Every service that users log in by, by name. Raises Unknown where there is no libpam.

    A service without auth lines has those of `other`, which is listed for all of them.
    """
    libpam = libpam or installed(root)
    names = [name for name in services_of_host(libpam, root) if name not in WITHOUT_LOGINS]
    policy = policy or active_policy(root)
    known: dict[str, File | None] = {}
    found = (ways_of_service(name, root, libpam, policy, known) for name in names)
    return [each for each in found if each is not None]


def ways_of_service(
    name: str,
    root: str = "",
    libpam: Libpam | None = None,
    policy: Policy | None = None,
    known: dict[str, File | None] | None = None,
    *,
    by_other: bool = False,
) -> ServiceWays | None:
    """The ways into one service; None if it says nothing of logins, unless those that it has
    `by_other` are wanted. Raises Unknown where there is no libpam. known: the files that were read
    before (see Disk)."""
    libpam = libpam or installed(root)
    policy = policy or active_policy(root)
    try:
        service = read_service(name, libpam, root, known)
        has_own = service.refused or "auth" in service.own or name == OTHER
        if not has_own and not by_other:
            return None
        if name == SSHD and root:
            raise Unknown("only the sshd of this machine can be asked about its settings")
        if name == SSHD:
            found, faults = ways_of_sshd(libpam, policy)
            return ServiceWays(name, told_apart(found), faults=faults)
        ways = told_apart([*_ways(service, policy), *_not_asked(name, root)])
    except Unknown as unknown:
        return ServiceWays(name, unknown=str(unknown))
    return ServiceWays(name, ways, faults=tuple(service.faults))


def active_policy(root: str = "") -> Policy:
    """The policy of this machine; where it cannot be read, and below a root folder, one that
    exempts nobody."""
    if root:
        return Policy()
    try:
        active: Settings = settings.load()
        return policy_of(active)
    except (Failure, OSError, ValueError):
        return Policy()


def _ways(service: Service, policy: Policy) -> Iterator[WayIn]:
    proofs = list[Proof]()
    for proof in map(proof_of, ways_in(service)):
        if ROOT in proof.proved and service.name in RUN_BY_USERS:
            others = tuple(each for each in proof.proved if each != ROOT)
            yield from _of_root(Proof(others, proof.lines), service.name, policy)
        else:
            proofs.append(proof)
    yield from ways_of(proofs, _people(service.name), policy)


def _not_asked(service: str, root: str) -> Iterator[WayIn]:
    """Whom sudo never asks PAM about, because its administrator wrote so."""
    if service in SUDO and not root:
        for each in not_asked():
            yield WayIn("nothing", each.who, is_exempt=True, reason=each.how)


def _of_root(proof: Proof, service: str, policy: Policy) -> Iterator[WayIn]:
    """What root needs besides root's own rights; without more, no code is meant."""
    if proof.proved:
        yield from ways_of([proof], _people(service, ("root",)), policy)
    else:
        yield WayIn("nothing", "root", is_exempt=True, lines=proof.lines)


def _people(service: str, users: tuple[str, ...] = ()) -> People:
    is_local = any(matches(each, service) for each in LOCAL_SERVICES)
    return People(service, users, is_local=is_local)
