# SPDX-License-Identifier: MIT
"""Who may log in with the key alone, by a Match block that `pam-totp enable` wrote. Pure."""

import dataclasses
import os
from collections.abc import Sequence

from pam_totp.review.way_in import WayIn
from pam_totp.stack.sshd_config import Block, source_of

DROP_IN = "/etc/ssh/sshd_config.d/00-pam-totp.conf"
KEY_ALONE = ("publickey",)


def as_chosen(way: WayIn, blocks: Sequence[Block]) -> WayIn:
    """The way, exempt if such a block leads to it; its reason is the line. blocks: that apply."""
    methods = source_of("authenticationmethods", list(blocks))
    if way.words != "key" or not way.is_finding or methods is None:
        return way
    if methods.file != DROP_IN or methods.words != KEY_ALONE:
        return way
    if not any(block.is_match and methods in block.settings for block in blocks):
        return way
    reason = f"chosen in {os.path.basename(DROP_IN)}, line {methods.number}"
    return dataclasses.replace(way, is_exempt=True, reason=reason)
