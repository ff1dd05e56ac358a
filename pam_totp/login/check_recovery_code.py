# SPDX-License-Identifier: MIT
"""A recovery code in place of a code of the app: ours, or a scratch code of another program.

- A correct one MUST never wait: 80 bits cannot be guessed, and users whom somebody else's guesses
  keep waiting log in with one. Incorrect ones are counted, and answered ever later.
- A scratch code, of eight digits, can be guessed: it MUST be counted as a try, and wait as others.

Runs only for users who enter one.
"""

import posix
import time
from _operator import _compare_digest
from contextlib import closing, suppress

from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules import reasons
from pam_totp.rules.reasons import Failure
from pam_totp.rules.throttle import clear
from pam_totp.rules.verdict import Verdict

# After so many incorrect codes in a row the answer to the next is held back, longer each time.
FREE_TRIES, MAX_DELAY_SECONDS = 5, 8
# With so many a try of eight digits is still less likely correct than one of six.
MAX_SCRATCH_CODES = 100


def check_recovery_code(secret_dir: SecretDir, code: str) -> Verdict:
    """The verdict on a recovery code that is correct. Raises OSError; and Failure, which says why
    one is not accepted."""
    if posix.geteuid() != 0:
        raise Failure(reasons.STATE_UNAVAILABLE, "only root can record a recovery code as used")
    codes = recovery.read(secret_dir)
    if codes is None:
        raise Failure(reasons.WRONG_CODE, "no recovery codes")
    salt, hashes = codes
    digest = recovery.hash_code(code, salt)
    with closing(Attempts(secret_dir.account.pw_uid)) as attempts:
        if sum([_compare_digest(digest, known) for known in hashes]):
            return use_up(secret_dir.account.pw_uid, attempts, digest, hashes)
        count = 1 + attempts.steps.get(recovery.INCORRECT, 0)
        attempts.record(attempts.steps | {recovery.INCORRECT: count}, attempts.failures)
    if count > FREE_TRIES:  # and nobody is kept from the record meanwhile
        time.sleep(min(count - FREE_TRIES, MAX_DELAY_SECONDS))
    raise Failure(reasons.WRONG_CODE, f"unknown recovery code: {count} in a row")


def check_scratch_code(
    secret_dir: SecretDir, attempts: Attempts, code: str, refused: Verdict
) -> Verdict:
    """The verdict on eight digits that are no code of the app, once that try is counted. Raises
    OSError or Failure."""
    codes = recovery.read(secret_dir) if posix.geteuid() == 0 else None
    if codes is None:
        return refused
    salt, hashes = codes
    digest = recovery.hash_code(code, salt)
    if not sum([_compare_digest(digest, known) for known in hashes[:MAX_SCRATCH_CODES]]):
        return refused
    return use_up(secret_dir.account.pw_uid, attempts, digest, hashes)


def use_up(uid: int, attempts: Attempts, digest: str, hashes: list[str]) -> Verdict:
    """The verdict on a correct code, by its hash. Raises OSError or Failure."""
    used = recovery.used(uid)
    if digest in used:
        raise Failure(reasons.REUSED_CODE, "recovery code already used")
    recovery.use_up(uid, digest, used)
    with suppress(Failure):  # the code is used up: the wait may go on, but this login is accepted
        attempts.steps.pop(recovery.INCORRECT, None)
        attempts.record(attempts.steps, clear(attempts.failures))
    left = len(set(hashes).difference(used)) - 1
    message = f"{left} recovery code{'s' * (left != 1)} left."
    if left <= 3:
        message += " For new ones, run: pam-totp recovery-codes"
    return Verdict(accepted=True, reason=reasons.RECOVERY_CODE, message=message)
