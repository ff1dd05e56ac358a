# SPDX-License-Identifier: MIT
"""`verify security-key` and `verify fingerprint`: the audit line of a login that another module has
accepted after the password, in place of a code.

- It MUST end with 1, as every program does that has verified nothing.

Nothing is recorded: neither that the user has logged in with a code, nor that incorrect codes are
over. The one would refuse the user wherever that key is not, the other would let a guesser go on.
"""

from pam_totp.records.host import audit
from pam_totp.rules.reasons import BY_OTHERS
from pam_totp.rules.request import Request


def note_what_was_accepted(request: Request, reason: str) -> None:
    """Logs it; a word that is none of the reasons is not logged."""
    if reason in BY_OTHERS:
        audit.write(request, "accept", reason)
