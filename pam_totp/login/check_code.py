"""What the verifier makes of an answer: a code of the app, or another way in.

- A try MUST be counted before the code is checked: killing the verifier gives no free guess.
- An accepted code MUST be recorded as used before the login goes on.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import pwd

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import secret
from pam_totp.records.user.attempts import Attempts, boot_seconds
from pam_totp.rules.credential import Credential
from pam_totp.rules.reasons import REUSED_CODE, THROTTLED
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import clear, count_try, secrets_a_try, wait_seconds, whole_seconds
from pam_totp.rules.verdict import Verdict, judge, read_code, read_recovery_code


def check_answer(
    request: Request, user: pwd.struct_passwd, typed: bytes, settings: Settings, now: float
) -> Verdict:
    """The verdict on what was typed. Raises Failure."""
    secret_dir = SecretDir(user, settings.store)
    credentials = secret.read(secret_dir)
    if credentials is None:
        from pam_totp.login.enroll_at_login import enroll_with_code  # hardly any login enrolls

        return enroll_with_code(request, secret_dir, typed, settings, now)
    recovery_code = read_recovery_code(typed)
    if recovery_code is not None:
        from pam_totp.login.check_recovery_code import check_recovery_code  # few logins have one

        return check_recovery_code(user, secret_dir, recovery_code)
    return check_code(user, credentials, read_code(typed), settings, now)


def check_code(
    user: pwd.struct_passwd,
    credentials: list[Credential],
    code: str,
    settings: Settings,
    now: float,
) -> Verdict:
    """The verdict on a code from the app. The try is counted before the code is checked:
    killing the verifier gives no free guess."""
    attempts = Attempts(user.pw_uid)
    try:
        return check_under_lock(attempts, credentials, code, settings, now)
    finally:
        attempts.close()


def check_under_lock(
    attempts: Attempts,
    credentials: list[Credential],
    code: str,
    settings: Settings,
    now: float,
) -> Verdict:
    """The same, for a caller who holds the lock."""
    before, booted = attempts.failures, boot_seconds()
    wait = wait_seconds(before, booted, settings.limits)
    if wait > 0:
        detail = f"{before.in_a_row} incorrect codes, {whole_seconds(wait)} s to wait"
        return Verdict(False, THROTTLED, detail=detail)
    # Compared with several secrets, a code is as many guesses. Where the budget is nearly used up
    # it is compared with fewer, the one that was used last first.
    used = attempts.steps
    latest = sorted(credentials, key=lambda each: used.get(each.identity, -1), reverse=True)
    compared = latest[: secrets_a_try(before, booted, settings.limits)]
    attempts.record_failures(count_try(before, booted, settings.limits, len(compared)))
    verdict = judge(compared, code, now, used, settings.window_steps)
    if verdict.accepted:
        assert verdict.credential is not None
        attempts.spend(verdict.credential, verdict.step, credentials, clear(before))
    elif verdict.reason == REUSED_CODE:
        attempts.record_failures(before)  # the owner in a hurry; it tells a guesser nothing
    elif len(compared) < len(credentials):
        detail = f"too many guesses, so compared with {len(compared)} of {len(credentials)} secrets"
        verdict.detail = "; ".join(filter(None, [verdict.detail, detail]))
    return verdict
