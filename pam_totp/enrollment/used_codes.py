# SPDX-License-Identifier: MIT
"""Has the codes by which root enrolled or found a token refused at logins. What was saved is active
already, so a failure is told, and takes nothing back."""

import os
import pwd
from contextlib import closing

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user import counters
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.credential import Credential
from pam_totp.rules.reasons import Failure


def counters_of(account: pwd.struct_passwd) -> dict[str, int]:
    """The last counters of the user's tokens that were accepted, as far as the caller can know
    them. Raises Error."""
    if os.geteuid() != 0:
        return {}
    try:
        return counters.read(account.pw_uid)
    except Failure as failure:
        fault, hint = repair.split(failure.detail, VAR.path)
        raise Error(f"{fault}; nothing was changed", hint) from None


def record(uid: int, credential: Credential, last: int) -> None:
    """Records the last counter, or time step, as used; never an earlier one than before. Raises
    Error."""
    name = credential.identity
    try:
        with closing(Attempts(uid)) as attempts:
            if credential.counter is not None:
                known = counters.read(uid)
                counters.use_up(uid, name, max(last, known.get(name, -1)), known)
                return
            step = max(last, attempts.steps.get(name, -1))
            attempts.record(attempts.steps | {name: step}, attempts.failures)
    except (OSError, Failure) as failure:  # the text of either
        message = f"saved, but the code is not recorded as used: {failure.args[1]}"
        raise Error(message, "pam-totp doctor") from None
