# SPDX-License-Identifier: MIT
"""The ways into a service by what is proved, as the rules divide people: who is asked for a code.
Pure."""

import dataclasses
from collections.abc import Iterator, Sequence

from pam_totp.review.open_to import Exempt, People, Policy, who_of
from pam_totp.review.way_in import WayIn
from pam_totp.stack.factors import CODE, NO_CODE_NEEDED, is_without_code
from pam_totp.stack.totp_lines import asks
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
    """The proof of a way through a PAM stack, with the lines that have a say in it, each once:
    libpam reads those of `other` twice for `other` itself."""
    steps = [step for step in way.steps if step.action != "ignore" or asks(step.line)]
    return Proof(way.proved, tuple(dict.fromkeys(step.words for step in steps)))


def after(first: Proof, second: Proof) -> Proof:
    """One proof after another; what was proved before is said once, and the lines are those that
    PAM or sshd has for the second one, if there are any."""
    more = (each for each in second.proved if each not in first.proved)
    return Proof((*first.proved, *more), second.lines or first.lines)


def ways_of(proofs: Sequence[Proof], people: People, policy: Policy) -> Iterator[WayIn]:
    """The ways that are open to a class of people."""
    who = who_of(people)
    exempt, asked = policy.divide(people)
    for proof in proofs:
        words, has_code = words_of(proof.first), CODE in proof.proved
        is_asked = NO_CODE_NEEDED in proof.proved
        if has_code:
            words = words_of(proof.proved)
        elif is_without_code(proof.first):
            yield WayIn(words, who, lines=proof.lines, is_without_code=True)
            continue
        else:
            for each in exempt:
                if is_asked or not each.only_unenrolled:
                    yield _exempt(words, each, each.who or who, proof)
        # A line that neither asks nor accepts: who needs a code does not get in by it.
        if not is_asked:
            for narrowed in asked:
                yield WayIn(words, narrowed or who, has_code=has_code, lines=proof.lines)


def _exempt(words: str, each: Exempt, who: str, proof: Proof) -> WayIn:
    if each.only_unenrolled:
        who = f"{who or 'everybody'} who is not enrolled"
    return WayIn(words, who, False, True, each.reason, each.line, proof.lines)
