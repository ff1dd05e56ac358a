"""A recovery code in place of a code of the app.

- A correct one MUST never wait: 80 bits cannot be guessed, and users whom somebody else's guesses
  keep waiting get in with one. Wrong ones are counted, and answered ever later.

Runs only for users who enter one.
"""

import posix
import pwd
import time

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.reasons import (
    RECOVERY_CODE,
    REUSED_CODE,
    STATE_UNAVAILABLE,
    WRONG_CODE,
    Failure,
)
from pam_totp.rules.throttle import clear
from pam_totp.rules.verdict import Verdict


def check_recovery_code(user: pwd.struct_passwd, secret_dir: SecretDir, code: str) -> Verdict:
    """The verdict on a recovery code."""
    if posix.geteuid() != 0:
        raise Failure(STATE_UNAVAILABLE, "only root can record a recovery code as used")
    codes = recovery.read(secret_dir)
    if codes is None:
        return Verdict(accepted=False, reason=WRONG_CODE, detail="no recovery codes")
    digest = codes.hash(code)
    delay = 0
    attempts = Attempts(user.pw_uid)
    try:
        spent = recovery.spent(user.pw_uid)
        if not codes.holds(digest):
            delay = recovery.delay_seconds(count := recovery.count_wrong(user.pw_uid))
            detail = f"unknown recovery code: {count} in a row"
            return Verdict(accepted=False, reason=WRONG_CODE, detail=detail)
        if digest in spent:
            return Verdict(accepted=False, reason=REUSED_CODE, detail="recovery code already used")
        recovery.spend(user.pw_uid, digest, spent)
        left = len(set(codes.hashes).difference(spent)) - 1
        try:
            attempts.record(attempts.steps, clear(attempts.failures))
            recovery.forget_wrong(user.pw_uid)
        except (Failure, OSError):
            pass  # the code is used up: the wait may go on, but this login is let in
    finally:
        attempts.close()
        if delay:  # of a wrong code alone, and while nobody is kept from the record
            time.sleep(delay)
    message = f"{left} recovery codes left."
    if left <= 3:
        message += " For new ones, run: pam-totp recovery-codes"
    return Verdict(accepted=True, reason=RECOVERY_CODE, message=message)
