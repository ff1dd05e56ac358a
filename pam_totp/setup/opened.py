# SPDX-License-Identifier: MIT
"""What would be enough to log in at sshd, before any code, that is not enough today. Pure.

Whoever need not enter a code gets in with it: on a server of keys alone, passwords MUST NOT become
a way in because codes are turned on.
"""

from collections.abc import Mapping

from pam_totp.setup.proof import KEY_ONLY, PASSWORD_ONLY
from pam_totp.setup.sshd_settings import Choices
from pam_totp.stack import sshd
from pam_totp.stack.sshd import Way

KEY, PASSWORD = "key", "password"


def opened(
    was: Mapping[str, str], will: Mapping[str, str], uid: int, choices: Choices
) -> list[frozenset[str]]:
    """What each such list of methods proves. was, will: sshd's settings before and after."""
    before = [_proved(way, was, None) for way in sshd.ways(dict(was), uid)]
    after = [_proved(way, will, choices) for way in sshd.ways(dict(will), uid)]
    new = [one for one in after if one and not any(old <= one for old in before)]
    return list(dict.fromkeys(new))


def _proved(way: Way, settings: Mapping[str, str], choices: Choices | None) -> frozenset[str]:
    """What a list of methods proves; nothing where it never lets in. choices: by which PAM's stack
    for sshd is to be written; None for the stack of today, which wants the password."""
    asks_pam = sshd.asks_pam(way)
    found = frozenset(KEY if one == "publickey" else one for one in way if one not in sshd.BY_PAM)
    if not asks_pam:
        return found
    if choices is None or settings.get("usepam") != "yes":
        return found | {PASSWORD}
    if KEY in found:  # which stands for the password, but in a stack that knows of no keys
        return found | {PASSWORD} if choices.first_factor == PASSWORD_ONLY else found
    return frozenset() if choices.first_factor == KEY_ONLY else found | {PASSWORD}
