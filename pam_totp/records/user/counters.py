# SPDX-License-Identifier: MIT
"""The last counter that was accepted of each token (HOTP): /var/lib/pam-totp/counters/UID, the line
"pam-totp counters 1", then a line "IDENTITY COUNTER" for each, the one that was used last at the
end. IDENTITY names the secret (pam_totp.rules.credential).

- A counter MUST be recorded, on the disk, before its code is accepted, and under the lock of the
  user's record of attempts, from the reading on.
- The counter of a token that is not in the secret file any more MUST stay: the line may come back.

Read only for users who have a token.
"""

from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.tokens import MAX_COUNTER

KIND = "counters"
MAX_TOKENS = 256  # of one user, those used last; a secret file has 32 at most

_HEADER = "pam-totp counters 1"


def read(uid: int) -> dict[str, int]:
    """The last accepted counter by the identity of the token. Raises Failure."""
    content = VAR.read(KIND, uid)
    if content is None:
        return {}
    try:
        header, *lines, end = content.decode("ascii").split("\n")
        found = {name: int(last) for name, last in (line.split(" ") for line in lines)}
        least, most = min(found.values()), max(found.values())  # one at least is always written
        if header != _HEADER or end or not 0 <= least <= most <= MAX_COUNTER:
            raise ValueError
    except ValueError:
        path = f"{VAR.path}/{KIND}/{uid}"
        raise Failure(STATE_UNAVAILABLE, f"{path} is malformed; run: rm {path}") from None
    return found


def use_up(uid: int, identity: str, counter: int, known: dict[str, int]) -> None:
    """Records a counter as used, durably. Raises OSError or Failure if that cannot be done."""
    others = [f"{name} {last}" for name, last in known.items() if name != identity]
    lines = [_HEADER, *others[1 - MAX_TOKENS :], f"{identity} {counter}", ""]
    VAR.write(KIND, uid, "\n".join(lines).encode("ascii"))
