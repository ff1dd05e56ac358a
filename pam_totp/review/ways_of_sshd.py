# SPDX-License-Identifier: MIT
"""Every way into sshd: its own methods, for each class of logins that its Match blocks tell apart,
and the PAM stack where they ask it."""

from collections.abc import Iterator

from pam_totp.review.chosen import as_chosen
from pam_totp.review.open_to import Policy, who_of
from pam_totp.review.proofs import Proof, after, proof_of, ways_of
from pam_totp.review.rules_of_class import RulesOfClasses
from pam_totp.review.sshd_class import SshdClass, classes_of_sshd, people_of
from pam_totp.review.way_in import WayIn
from pam_totp.stack import sshd
from pam_totp.stack.factors import CODE, KEY, PASSWORD, Factor, with_key
from pam_totp.stack.libpam import Libpam
from pam_totp.stack.search import TooManyWays
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.sshd_config import Block, source_of
from pam_totp.stack.sshd_running import servers
from pam_totp.stack.stack_faults import is_combined
from pam_totp.stack.ways_in import ways_in

# With it sshd's `password` method asks Kerberos itself, and PAM only where there is none.
KERBEROS = "kerberosauthentication"
KEY_METHOD = "publickey"
FACTORS = {
    KEY_METHOD: KEY,
    "hostbased": Factor("host key"),
    "gssapi-with-mic": Factor("Kerberos ticket"),
}
MAX_PROOFS = 200

Said = tuple[str, str, bool]  # whom of a class a way is for, the way, whether it is a finding


def ways_of_sshd(libpam: Libpam, policy: Policy) -> tuple[list[WayIn], tuple[str, ...]]:
    """The ways in, those that are open to all before those of a class; and what libpam cannot use.
    Raises Unknown."""
    stacks, found, faults = dict[str, Service](), list[WayIn](), list[str]()
    open_to_all = set[Said]()
    by_blocks: dict[tuple[Block, ...], set[Said]] = {}
    for each, asked in _with_rules(policy):
        name = sshd.service_of(each.settings, each.server.name)
        if name not in stacks:
            stacks[name] = read_service(name, libpam)
            faults += stacks[name].faults
        # What is open to everybody, or to the others of whom the same blocks are, is said there.
        said = open_to_all | by_blocks.get(each.logins.blocks, set())
        here = dict[Said, WayIn]()
        for way in _ways_of_class(each, stacks[name], asked):
            here.setdefault(_said(way, each), way)
        new = {key: way for key, way in here.items() if key not in said}
        open_to_all |= {key for key, way in new.items() if not way.who}
        by_blocks.setdefault(each.logins.blocks, set(here))
        found += new.values()
    return found, tuple(dict.fromkeys(faults))


def _said(way: WayIn, each: SshdClass) -> Said:
    whole = who_of(people_of(each, "")) or "everybody"
    return way.who.removeprefix(whole), way.text, way.is_finding


def _with_rules(policy: Policy) -> Iterator[tuple[SshdClass, Policy]]:
    """Every class of every server, with the policy as far as it is about the class."""
    for server in servers():
        classes = classes_of_sshd(server)
        rules = RulesOfClasses(policy, classes.blocks, classes.people)
        yield from ((each, rules.about(each.logins)) for each in classes.found)


def _ways_of_class(each: SshdClass, service: Service, policy: Policy) -> Iterator[WayIn]:
    for has_key in ("yes", "no"):
        proofs = [
            proof
            for methods in each.methods
            if knows_key(methods) == (has_key == "yes")
            for proof in proofs_of(methods, each, service)
        ]
        for way in ways_of(proofs, people_of(each, has_key), policy):
            yield as_chosen(way, each.logins.blocks)


def proofs_of(methods: sshd.Way, each: SshdClass, service: Service) -> Iterator[Proof]:
    """What is proved where these methods together log in."""
    found = [Proof((), tuple(_lines(each, methods)))]
    for at, method in enumerate(methods):
        options = [Proof((FACTORS[method],))] if method in FACTORS else []
        if method in sshd.BY_PAM and each.settings.get("usepam") != "yes":
            options = [Proof((PASSWORD,))]  # by the shadow file
        elif method in sshd.BY_PAM:
            options = _asked_of_pam(method, service, has_key=KEY_METHOD in methods[:at])
            if method == "password" and each.settings.get(KERBEROS) == "yes":
                lines = tuple(_lines(each, methods, KERBEROS))
                options.append(Proof((PASSWORD,), lines))  # and PAM is not asked
        if len(found) * len(options) > MAX_PROOFS:
            raise TooManyWays
        found = [after(proof, option) for proof in found for option in options]
    yield from found


def knows_key(methods: sshd.Way) -> bool:
    """Whether sshd has accepted a key when it asks PAM, or accepts one and never asks."""
    asking = [at for at, method in enumerate(methods) if method in sshd.BY_PAM]
    return KEY_METHOD in (methods[: asking[0]] if asking else methods)


def _asked_of_pam(method: str, service: Service, *, has_key: bool) -> list[Proof]:
    """The ways through the stack, where sshd reports a key or none. sshd's `password` method
    answers each question with the password, so a code is entered only together with it."""

    ways = ways_in(service, with_key(has_key))
    if method == "password" and not is_combined(service):
        ways = tuple(way for way in ways if CODE not in way.proved)
    return [proof_of(way) for way in ways]


def _lines(each: SshdClass, methods: sshd.Way, *more: str) -> Iterator[str]:
    """Where sshd's configuration says so."""
    blocks = list(each.logins.blocks)
    yield from (_of_match(block) for block in blocks if block.is_match)
    keywords = ["usepam"] if each.settings.get("usepam") != "yes" else []
    for keyword in (
        *keywords,
        *more,
        "authenticationmethods",
        *(sshd.METHODS[one] for one in methods),
    ):
        found, value = source_of(keyword, blocks), each.settings.get(keyword, "any")
        where = f"{found.file}, line {found.number}" if found else "sshd's default"
        yield f"{where}: {keyword} {value}"


def _of_match(block: Block) -> str:
    criteria = " ".join(f"{name} {argument}".strip() for name, argument in block.criteria)
    return f"{block.place}: Match {criteria or 'all'}"
