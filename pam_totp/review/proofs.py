# SPDX-License-Identifier: MIT
"""The ways into a service by what is proved, as the rules divide people: who is asked for a code.
Pure."""

import dataclasses
from collections.abc import Iterator, Sequence

from pam_totp.review.open_to import People, Policy, who_of
from pam_totp.review.way_in import WayIn
from pam_totp.stack.factors import CODE, NO_CODE_NEEDED, Factor
from pam_totp.stack.ways_in import Proved, Way, words_of


@dataclasses.dataclass(frozen=True)
class Proof:
    """What is proved on a way, in order, and the lines that lead there."""

    proved: Proved
    lines: tuple[str, ...] = ()

    @property
    def first(self) -> Proved:
        """Without what stands for a code."""
        return tuple(each for each in self.proved if each not in (CODE, NO_CODE_NEEDED))


def proof_of(way: Way) -> Proof:
    """The proof of a way through a PAM stack."""
    return Proof(way.proved, tuple(step.words for step in way.steps))


def after(first: Sequence[Factor], proof: Proof) -> Proof:
    """A proof after other factors; what was proved before is said once."""
    more = (each for each in proof.proved if each not in first)
    return Proof((*first, *more), proof.lines)


def ways_of(proofs: Sequence[Proof], people: People, policy: Policy) -> Iterator[WayIn]:
    """The ways that are open to a class of people."""
    asks_for_code = {frozenset(proof.first) for proof in proofs if CODE in proof.proved}
    who = who_of(people)
    exempt, are_all = policy.exempt(people)
    for proof in proofs:
        words = words_of(proof.first)
        if CODE in proof.proved:
            if not are_all:
                yield WayIn(words_of(proof.proved), who, has_code=True, lines=proof.lines)
            continue
        is_asked = NO_CODE_NEEDED in proof.proved
        for each in exempt:
            narrowed = each.who or who
            if each.only_unenrolled:
                if not is_asked:
                    continue
                narrowed = f"{narrowed or 'everybody'} who is not enrolled"
            yield WayIn(
                words,
                narrowed,
                is_exempt=True,
                reason=each.reason,
                rule_line=each.line,
                lines=proof.lines,
            )
        if is_asked and frozenset(proof.first) not in asks_for_code and not are_all:
            # The one line neither asks nor accepts: who needs a code does not get in.
            continue
        if not is_asked and not are_all:
            yield WayIn(words, who, lines=proof.lines)
