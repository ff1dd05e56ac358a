# SPDX-License-Identifier: MIT
"""Whether a code can be sent to a user, under a rule that accepts such codes.

- A contact that no code has come back from MUST NOT make anybody enrolled: a mistyped number would
  lock out a user of whom no code is required otherwise.

Imported only with such a rule.
"""

import pwd

from pam_totp.access.decision import ENROLLED, MISSING, UNENROLLED
from pam_totp.records.config.settings import FLEET
from pam_totp.records.user import contacts
from pam_totp.rules.policy import Rule


def look(
    user: pwd.struct_passwd, rule: Rule, state: str, store: str
) -> tuple[str, tuple[str, ...]]:
    """The state of a user whose secret has this one, and the kinds of codes that may be sent, the
    preferred one first. Raises Failure."""
    if store == FLEET:
        from pam_totp.access import in_fleet  # no other store needs it

        if not in_fleet.may_be_sent_codes(user, state):
            return state, ()
    known = contacts.read(user)
    kinds = tuple(kind for kind in rule.methods if kind in known)
    if state in (UNENROLLED, MISSING) and any(known[kind].confirmed for kind in kinds):
        state = ENROLLED
    return state, kinds
