# SPDX-License-Identifier: MIT
"""The verdict of this host on a code, with the secrets that are on it (`store: user` or `system`).

- A try MUST be counted before the code is checked: killing the verifier gives no free guess.
- An accepted code MUST be recorded as used before the login goes on.
"""

import posix
import pwd

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user.attempts import Attempts, boot_seconds
from pam_totp.rules.credential import Credential
from pam_totp.rules.otp import verdict_on
from pam_totp.rules.reasons import REUSED_CODE, THROTTLED, WRONG_CODE, Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import clear, count_try, wait_seconds, whole_seconds
from pam_totp.rules.typed_code import DIGITS, RECOVERY_CHARACTERS, read_code
from pam_totp.rules.verdict import Verdict


def check_here(
    request: Request, user: pwd.struct_passwd, typed: bytes, settings: Settings, now: float
) -> Verdict:
    """The verdict on what was typed. Raises OSError or Failure."""
    secret_dir, credentials = SecretDir(user, settings.store), None
    if posix.geteuid() == 0 and RUN.has("sent", user.pw_uid):
        from pam_totp.login.check_sent_code import check_sent_code  # few users are sent one

        verdict, credentials = check_sent_code(request, secret_dir, typed, settings, now)
        if verdict is not None:
            return verdict
    credentials = credentials or secret_dir.credentials()
    if credentials is None:
        from pam_totp.login.enroll_at_login import enroll_with_code  # hardly any login enrolls

        return enroll_with_code(request, secret_dir, typed, settings, now)
    code = read_code(typed, allow_recovery=True)
    if len(code) == RECOVERY_CHARACTERS:
        from pam_totp.login.check_recovery_code import check_recovery_code  # few logins have one

        return check_recovery_code(secret_dir, code)
    attempts = Attempts(user.pw_uid)
    try:
        verdict = check_code(attempts, credentials, code, settings, now)
        if verdict.reason == WRONG_CODE and len(code) == DIGITS[-1]:  # a scratch code?
            from pam_totp.login.check_recovery_code import check_scratch_code

            return check_scratch_code(secret_dir, attempts, code, verdict)
        return verdict
    finally:
        attempts.close()


def check_code(
    attempts: Attempts, credentials: list[Credential], code: str, settings: Settings, now: float
) -> Verdict:
    """The verdict on a code from the app, under the lock of `attempts`. Raises Failure."""
    before, used = attempts.failures, attempts.steps
    # Compared with several secrets, a code is as many guesses. Where the budget is nearly used up
    # it is compared with fewer, the one that was used last first.
    latest = sorted(credentials, key=lambda each: used.get(each.identity, -1), reverse=True)
    judge = verdict_on
    if any(each.counter is not None for each in latest):
        from pam_totp.login.check_tokens import with_tokens  # few users have one

        latest, judge = with_tokens(attempts, latest)
    compared = count(attempts, settings, len(latest))
    verdict = judge(latest[:compared], code, now, used, settings.window_steps)
    if verdict.accepted:
        assert verdict.credential is not None
        names = {each.identity for each in credentials}  # those that the user still has
        steps = {name: step for name, step in used.items() if name in names}
        attempts.record(steps | {verdict.credential.identity: verdict.step}, clear(before))
    elif verdict.reason == REUSED_CODE:
        attempts.record(used, before)  # the owner in a hurry; it tells a guesser nothing
    elif compared < len(latest):
        detail = f"too many guesses, so {compared} of {len(latest)} comparisons were made"
        details = "; ".join(filter(None, [verdict.detail, detail]))
        return Verdict(**vars(verdict) | {"detail": details})
    return verdict


def count(attempts: Attempts, settings: Settings, secrets: int = 1) -> int:
    """Counts a try under the lock of `attempts`, before the code is looked at; with how many of the
    user's `secrets` it may be compared. Raises Failure, also where the user has to wait."""
    before, now = attempts.failures, boot_seconds()
    wait = wait_seconds(before, now, settings.limits)
    if wait > 0:
        detail = f"incorrect codes: {before.in_a_row}, {whole_seconds(wait)} s to wait"
        raise Failure(THROTTLED, detail)
    compared, counted = count_try(before, now, settings.limits, secrets)
    attempts.record(attempts.steps, counted)
    return compared
