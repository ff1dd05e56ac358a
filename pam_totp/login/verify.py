"""The verifier: is this the code? Exit 0: let in. Anything else: refuse.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import pwd
import time

from pam_totp.login.request import Request, from_environment
from pam_totp.records import account, audit, mark, secret, settings
from pam_totp.records.attempts import Attempts, boot_seconds
from pam_totp.records.place import Place
from pam_totp.rules.credential import Credential
from pam_totp.rules.refusal import (
    INTERNAL_ERROR,
    NOT_ENROLLED,
    RECOVERY_CODE,
    REUSED_CODE,
    SECRET_MISSING,
    STATE_UNAVAILABLE,
    THROTTLED,
    WRONG_CODE,
    Refused,
)
from pam_totp.rules.throttle import Limits, clear, count_try, wait_seconds, whole_seconds
from pam_totp.rules.verdict import Verdict, judge, read_code, read_recovery_code

MOST_INPUT_BYTES = 512  # what pam_exec passes on at most


def main() -> None:
    """Decides, writes the audit line, ends the process; whatever goes wrong refuses."""
    status = 1
    try:
        request = from_environment()
        configured = settings.load()
        verdict = decide(request, configured, time.time())
        device = verdict.credential.device if verdict.credential is not None else ""
        detail = "; ".join(part for part in (verdict.detail, configured.fault) if part)
        word = "accept" if verdict.accepted else "refuse"
        fields = request.audit_fields(device, detail)
        audit.write(verdict.accepted, word, verdict.reason, fields)
        status = 0 if verdict.accepted else 1
        if verdict.message:
            posix.write(1, f"{verdict.message}\n".encode())
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def decide(request: Request, configured: settings.Settings, now: float) -> Verdict:
    """The verdict on the code that stands on standard input."""
    try:
        return verify(request, read_input(), configured, now)
    except Refused as refused:
        return Verdict(False, refused.reason, detail=refused.detail)
    except BaseException as failure:
        return Verdict(False, INTERNAL_ERROR, detail=f"{type(failure).__name__}: {failure}")


def verify(request: Request, typed: bytes, configured: settings.Settings, now: float) -> Verdict:
    """The verdict on what was typed; a yes is recorded before it is said."""
    user = account.find(request.user)
    place = Place(user, configured.store)
    credentials = secret.read(place)
    if credentials is None:
        if posix.geteuid() == 0 and mark.is_set(user.pw_uid):
            raise Refused(SECRET_MISSING, "has logged in with a code before; now no secret file")
        raise Refused(NOT_ENROLLED, "no secret file")
    recovery_code = read_recovery_code(typed)
    if recovery_code is not None:
        verdict = judge_recovery_code(user, place, recovery_code)
    else:
        verdict = judge_code(user, credentials, read_code(typed), configured.limits, now)
    if verdict.accepted:
        verdict.detail = remember_login(user.pw_uid)
    return verdict


def judge_code(
    user: pwd.struct_passwd, credentials: list[Credential], code: str, limits: Limits, now: float
) -> Verdict:
    """The verdict on a code from the app. The try counts before anybody looks at the code: a
    verifier that is killed is no free guess."""
    attempts = Attempts(user.pw_uid)
    try:
        before, booted = attempts.failures, boot_seconds()
        wait = wait_seconds(before, booted, limits)
        if wait > 0:
            detail = f"{before.in_a_row} wrong codes, {whole_seconds(wait)} s to wait"
            return Verdict(False, THROTTLED, detail=detail)
        attempts.record_failures(count_try(before, booted, limits))
        verdict = judge(credentials, code, now, attempts.steps)
        if verdict.accepted:
            assert verdict.credential is not None
            attempts.spend(verdict.credential, verdict.step, credentials, clear(before))
        elif verdict.reason == REUSED_CODE:
            attempts.record_failures(before)  # the owner in a hurry; it tells a guesser nothing
        return verdict
    finally:
        attempts.close()


def judge_recovery_code(user: pwd.struct_passwd, place: Place, code: str) -> Verdict:
    """The verdict on a recovery code. No throttle: 80 bits cannot be guessed, and whoever is kept
    waiting by somebody else's guesses gets in with one."""
    from pam_totp.records import recovery  # hardly any login has one

    if posix.geteuid() != 0:
        raise Refused(STATE_UNAVAILABLE, "only root can record a recovery code as used")
    codes = recovery.read(place)
    if codes is None:
        return Verdict(False, WRONG_CODE, detail="no recovery codes")
    digest = codes.hash(code)
    attempts = Attempts(user.pw_uid)
    try:
        spent = recovery.spent(user.pw_uid)
        if not codes.holds(digest):
            return Verdict(False, WRONG_CODE, detail="no such recovery code")
        if digest in spent:
            return Verdict(False, REUSED_CODE, detail="this recovery code is used")
        recovery.spend(user.pw_uid, digest, spent)
        left = len(set(codes.hashes).difference(spent)) - 1
        try:
            attempts.record_failures(clear(attempts.failures))
        except Refused:
            pass  # the code is spent: the wait may go on, but this login is let in
    finally:
        attempts.close()
    message = f"{left} recovery codes left."
    if left <= 3:
        message += " New ones: pam-totp recovery-codes"
    return Verdict(True, RECOVERY_CODE, message=message)


def remember_login(uid: int) -> str:
    """Sets the mark. A full disk refuses nobody a right code: the log says it, and so again."""
    if posix.geteuid() != 0:
        return ""
    try:
        mark.set_mark(uid)
    except OSError as failure:
        return f"mark not set: {failure.strerror}"
    except Refused as refused:
        return f"mark not set: {refused.detail}"
    return ""


def read_input() -> bytes:
    """Standard input up to its end, or up to more than any code has."""
    typed = b""
    while len(typed) <= MOST_INPUT_BYTES:
        chunk = posix.read(0, MOST_INPUT_BYTES)
        if not chunk:
            break
        typed += chunk
    return typed
