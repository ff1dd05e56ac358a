# SPDX-License-Identifier: MIT
"""The Match blocks of sshd that fit nobody who is listed, so that sshd cannot be asked about them.
What the model says of them is not proved."""

from pam_totp.review.doctor.findings import UNKNOWN, Finding
from pam_totp.review.doctor.repairs import look_at
from pam_totp.stack import sshd_classes
from pam_totp.stack.people import people
from pam_totp.stack.sshd_config import Block, read_blocks
from pam_totp.stack.sshd_running import Server


def of_nobody(server: Server) -> list[Finding]:
    """Those that say something of logins. Raises Unknown."""
    blocks = sshd_classes.that_matter(read_blocks(server.path))
    criteria = [one for block in blocks for one in block.criteria]
    classes = sshd_classes.classes_of(blocks, people(criteria))
    return [_not_judged(block) for block in sshd_classes.of_nobody(blocks, classes)]


def _not_judged(block: Block) -> Finding:
    criteria = " ".join(f"{name} {argument}".strip() for name, argument in block.criteria)
    return Finding(
        severity=UNKNOWN,
        kind="sshd-match-of-nobody",
        what=f"`Match {criteria}` ({block.place}) is for no user or address known here, so "
        "sshd could not be asked about it",
        consequence="Users of a directory may match it, and log in with or without a code.",
        command=look_at(block.file, block.number),
    )
