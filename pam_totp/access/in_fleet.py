# SPDX-License-Identifier: MIT
"""The state of a user whose secret is in the store of a fleet (`store: postgresql`).

- "Not enrolled" MUST be the store's word of now. Where it does not answer, or is older than what
  this host has seen, the state cannot be determined.
- A code MUST NOT be sent to a user who had an app here that the store does not know, nor to anybody
  whose state cannot be determined: a store that has forgotten who enrolled would make all of them
  users of the weaker factor.
- A user who has logged in here with a code, and whom the store does not know, is missing a secret:
  the database may be empty or another one. Only a reset, which the store remembers, ends that.

Imported only with that setting.
"""

import pwd

from pam_totp.access.decision import ELSEWHERE, ENROLLED, MISSING, UNENROLLED
from pam_totp.records import fleet
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, stores_of
from pam_totp.records.user import enforced
from pam_totp.rules.agent_line import HOST_IS_REFUSED
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure

AWAY = "The server that checks codes does not answer. Try again, or enter an outage code."
IS_OLDER = "the store is older than one that this host has seen, so it is not believed"


def look(user: pwd.struct_passwd, *, is_enforced: bool) -> tuple[str, int]:
    """ENROLLED, UNENROLLED, MISSING or ELSEWHERE, and the seconds to wait after incorrect codes.
    Raises Failure where that cannot be determined."""
    standing = fleet.standing(user.pw_name)
    if standing.state == fleet.DISBELIEVED:
        raise Failure(STATE_UNAVAILABLE, IS_OLDER)
    if standing.state == fleet.ENROLLED:
        return ENROLLED, standing.wait_seconds
    # A secret that was not migrated counts too, as with the other stores.
    if any(SecretDir(user, store).read(SECRET) is not None for store in stores_of(user)):
        return ELSEWHERE, standing.wait_seconds
    is_missing = is_enforced and standing.state != fleet.RESET
    return MISSING if is_missing else UNENROLLED, standing.wait_seconds


def may_be_sent_codes(user: pwd.struct_passwd, state: str) -> bool:
    """Whether a user with this state may be sent codes. A user who has logged in here with such
    codes alone has no app that the store could have lost. Raises Failure."""
    if state == MISSING:
        return enforced.is_only_sent(user.pw_uid)
    return state in (ENROLLED, UNENROLLED)


def said_of(fault: str) -> str:
    """What the user is told before the prompt, where the state cannot be determined."""
    if fault.startswith(HOST_IS_REFUSED):
        return "The server that checks codes refuses this host. Contact your administrator."
    return "The server that checks codes is not up to date." if fault == IS_OLDER else AWAY
