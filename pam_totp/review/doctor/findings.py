# SPDX-License-Identifier: MIT
"""What `pam-totp doctor` found wrong: one value for each thing. Pure."""

import dataclasses
from collections.abc import Iterable

# From the worst to the least: people log in with too little; people are refused who should not be;
# it is not known which; and what may become one of them.
OPEN, REFUSED, UNKNOWN, AT_RISK = "open", "refused", "unknown", "at risk"
SEVERITIES = (OPEN, REFUSED, UNKNOWN, AT_RISK)


@dataclasses.dataclass(frozen=True)
class Finding:
    """severity: of SEVERITIES. kind: a word that stays the same from release to release, for
    programs. what: the fault; consequence: what follows from it, a sentence; command: what to type
    next, on one line."""

    severity: str
    kind: str
    what: str
    consequence: str
    command: str


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Each once, in the order of SEVERITIES, and as they were found within one."""
    return sorted(dict.fromkeys(found), key=lambda each: SEVERITIES.index(each.severity))


def undetermined(what: str, command: str) -> Finding:
    """For what could not be looked at: silence would say that it is in order."""
    return Finding(
        severity=UNKNOWN,
        kind="undetermined",
        what=f"cannot be determined: {what}",
        consequence="Faults of this kind are not shown.",
        command=command,
    )
