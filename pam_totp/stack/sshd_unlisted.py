# SPDX-License-Identifier: MIT
"""sshd's settings for the members of a group that no user of this host is in. Pure.

`sshd -T` looks up the groups of a user, so it cannot be asked about them. What their Match blocks
say is put over what it says of somebody without the group.
"""

from collections.abc import Mapping, Sequence

from pam_totp.stack.sshd import METHODS
from pam_totp.stack.sshd_config import Block, source_of
from pam_totp.stack.sshd_match import Login

# What a Match block may say about how users log in.
KEYWORDS = (
    *METHODS.values(),
    *("authenticationmethods", "kerberosauthentication", "maxauthtries", "pamservicename"),
)


def with_their_blocks(
    settings: Mapping[str, str], login: Login, blocks: Sequence[Block]
) -> dict[str, str]:
    """settings: what `sshd -T` says of the login. blocks: that apply to it."""
    found = dict(settings)
    if not login.is_unlisted:
        return found
    own = [block for block in blocks if block.is_match]
    for keyword in KEYWORDS:
        setting = source_of(keyword, own)
        if setting is not None:
            found[keyword] = " ".join(setting.words)
    return found
