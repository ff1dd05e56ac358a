# SPDX-License-Identifier: MIT
"""The verifier: is the code correct? Exit 0: accept. Anything else: refuse.

- A try MUST be counted before the code is checked: killing the verifier gives no free guess.
- An accepted code MUST be recorded as used before the login goes on.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import pwd
import time

from pam_totp.records.config.settings import Settings, load
from pam_totp.records.host import account, audit
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import certain, enforced, remembered
from pam_totp.records.user.attempts import Attempts, boot_seconds
from pam_totp.rules import reasons
from pam_totp.rules.credential import DIGITS, Credential
from pam_totp.rules.otp import RECOVERY_CHARACTERS, Verdict, read_code, verdict_on
from pam_totp.rules.reasons import REUSED_CODE, THROTTLED, WRONG_CODE, Failure
from pam_totp.rules.request import Request, read_request
from pam_totp.rules.throttle import clear, count_try, wait_seconds, whole_seconds

MAX_INPUT_BYTES = 512  # what pam_exec passes on at most; no code is as long


def main() -> None:
    """Decides, writes the audit line and ends the process; any error refuses."""
    status = 1
    try:
        request = read_request(posix.environ)
        verdict, faults = reach_verdict(request, time.time())
        device = verdict.credential.device if verdict.credential is not None else ""
        word = "accept" if verdict.accepted else "refuse"
        audit.write(request, word, verdict.reason, verdict.detail, *faults, device=device)
        status = 0 if verdict.accepted else 1
        if verdict.message:
            posix.write(1, f"{verdict.message}\n".encode())
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def reach_verdict(request: Request, now: float) -> tuple[Verdict, list[str]]:
    """The verdict on the code on standard input, and what else went wrong, for the log; acceptance
    is recorded before it is reported."""
    faults: list[str] = []
    user = None
    try:
        around = certain.surroundings() if posix.geteuid() == 0 else ""
        settings = load()
        faults = [settings.fault]
        user = account.find(request.user)
        with open(0, "rb", closefd=False) as answer:
            typed = answer.read(MAX_INPUT_BYTES + 1)
        verdict = check_answer(request, user, typed, settings, now)
        if verdict.accepted:
            faults.insert(0, record_login(request, user, settings))
            if verdict.credential is not None:  # after a recovery code the wait may go on
                certain.leave(user, request.user, settings, around)
    except Failure as failure:
        verdict = Verdict(accepted=False, reason=failure.reason, detail=failure.detail)
    except BaseException as failure:
        is_state = isinstance(failure, OSError)  # a full disk, say
        reason = reasons.STATE_UNAVAILABLE if is_state else reasons.INTERNAL_ERROR
        detail = f"{type(failure).__name__}: {failure}"
        verdict = Verdict(accepted=False, reason=reason, detail=detail)
    if not verdict.accepted and user is not None and posix.geteuid() == 0:
        try:
            certain.forget(user)
        except (OSError, Failure) as failure:  # the text of either
            faults.append(f"cannot take away the mark of {certain.KIND}: {failure.args[1]}")
    return verdict, faults


def check_answer(
    request: Request, user: pwd.struct_passwd, typed: bytes, settings: Settings, now: float
) -> Verdict:
    """The verdict on what was typed. Raises OSError or Failure."""
    secret_dir = SecretDir(user, settings.store)
    credentials = secret_dir.credentials()
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
    before, used, booted = attempts.failures, attempts.steps, boot_seconds()
    wait = wait_seconds(before, booted, settings.limits)
    if wait > 0:
        detail = f"{before.in_a_row} incorrect codes, {whole_seconds(wait)} s to wait"
        raise Failure(THROTTLED, detail)
    # Compared with several secrets, a code is as many guesses. Where the budget is nearly used up
    # it is compared with fewer, the one that was used last first.
    latest = sorted(credentials, key=lambda each: used.get(each.identity, -1), reverse=True)
    judge = verdict_on
    if any(each.counter is not None for each in latest):
        from pam_totp.login.check_tokens import with_tokens  # few users have one

        latest, judge = with_tokens(attempts, latest)
    compared, counted = count_try(before, booted, settings.limits, len(latest))
    attempts.record(used, counted)
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


def record_login(request: Request, user: pwd.struct_passwd, settings: Settings) -> str:
    """Records that the user has logged in with a code, for good and for `remember`; what failed. A
    full disk refuses nobody a correct code: the log says it, and so again."""
    if settings.remember_seconds:
        remembered.remember(request, user, settings)
    if posix.geteuid() == 0:
        try:
            enforced.record_login(user.pw_uid)
        except (OSError, Failure) as failure:  # the text of either
            return f"cannot record this login with a code: {failure.args[1]}"
    return ""
