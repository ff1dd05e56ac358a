"""What the verifier makes of each kind of answer; a yes is recorded before it is given.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import pwd

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, stores_of
from pam_totp.records.user import enforced, secret
from pam_totp.records.user.attempts import Attempts, boot_seconds
from pam_totp.rules.credential import Credential, parse_line
from pam_totp.rules.reasons import (
    NOT_ENROLLED,
    RECOVERY_CODE,
    REUSED_CODE,
    SECRET_MISSING,
    STATE_UNAVAILABLE,
    THROTTLED,
    WRONG_CODE,
    Failure,
)
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import clear, count_try, secrets_a_try, wait_seconds, whole_seconds
from pam_totp.rules.verdict import Verdict, judge, read_code


def judge_first_code(
    request: Request,
    user: pwd.struct_passwd,
    place: SecretDir,
    typed: bytes,
    configured: Settings,
    now: float,
) -> Verdict:
    """The verdict on the code of somebody without a secret, who may enroll at this very login: a
    right code of the secret that was shown there saves it."""
    is_root = posix.geteuid() == 0
    is_marked = is_root and enforced.is_set(user.pw_uid)
    others = [store for store in stores_of(user) if is_root and store != configured.store]
    if any(SecretDir(user, store).read(SECRET) is not None for store in others):
        raise Failure(
            SECRET_MISSING, f"the secret is in the other store: pam-totp migrate {user.pw_name}"
        )
    if is_marked:
        detail = "has logged in with a code before; now no secret file; if that was an earlier user"
        raise Failure(SECRET_MISSING, f"{detail} of this id: pam-totp reset {user.pw_name}")
    if not (is_root and configured.enrollment.enrolls_at(request.service)):
        raise Failure(NOT_ENROLLED, "no secret file")
    from pam_totp.records.storage import secret_writer
    from pam_totp.records.user import pending  # hardly any login enrolls
    from pam_totp.rules.ignored_parameters import ignored_parameters

    code = read_code(typed)
    posix.umask(0o077)  # the application's may be a user's, and leave even the owner nothing
    attempts = Attempts(user.pw_uid)
    try:
        # Of two logins at once the second finds, under the lock, what the first has saved.
        credentials = secret.read(place)
        if credentials is not None:
            return judge_under_lock(attempts, credentials, code, configured, now)
        shown = pending.read(user)
        if not shown:
            detail = "no secret file, and no secret was shown to this user in the last 10 minutes"
            raise Failure(NOT_ENROLLED, detail)
        most = secrets_a_try(attempts.failures, boot_seconds(), configured.limits)
        lines = [f"{uri} phone" for uri in shown[:most]]
        credentials = [parse_line(line) for line in lines]
        verdict = judge_under_lock(attempts, credentials, code, configured, now, len(lines))
        if verdict.reason == WRONG_CODE:
            of = f"compared with {len(lines)} of {len(shown)} secrets shown in the last 10 minutes"
            window = configured.window_steps
            said = (ignored_parameters(each, code, now, window) for each in credentials)
            verdict.detail = "; ".join([of, *filter(None, said)])
        if verdict.credential is None or not verdict.accepted:
            return verdict
        line = lines[credentials.index(verdict.credential)]
        content = f"{secret.HEADER}{line}\n".encode()
        secret_writer.save_all(place, [(SECRET, content)], over=(SECRET, None))
        pending.remove(user.pw_uid)
    except secret_writer.Changed:
        raise Failure(STATE_UNAVAILABLE, "was enrolled elsewhere at this very moment") from None
    except OSError as failure:
        detail = f"cannot enroll at this login: {failure.strerror}"
        raise Failure(STATE_UNAVAILABLE, detail) from None
    finally:
        attempts.close()
    verdict.detail = "enrolled at this login"
    verdict.message = first_recovery_codes(place)
    return verdict


def first_recovery_codes(place: SecretDir) -> str:
    """Makes and saves recovery codes; what the user is told of them."""
    from pam_totp.records.storage import secret_writer
    from pam_totp.records.user import recovery

    codes = recovery.new_codes()
    try:
        secret_writer.save(place, recovery.NAME, recovery.new_file(codes))
    except (OSError, Failure, MemoryError, ValueError):  # scrypt takes 16 MiB, su passes on limits
        return "You are enrolled, but without recovery codes: pam-totp recovery-codes"
    return recovery.describe(codes)


def judge_code(
    user: pwd.struct_passwd,
    credentials: list[Credential],
    code: str,
    configured: Settings,
    now: float,
) -> Verdict:
    """The verdict on a code from the app. The try counts before anybody looks at the code: a
    verifier that is killed is no free guess."""
    attempts = Attempts(user.pw_uid)
    try:
        return judge_under_lock(attempts, credentials, code, configured, now)
    finally:
        attempts.close()


def judge_under_lock(
    attempts: Attempts,
    credentials: list[Credential],
    code: str,
    configured: Settings,
    now: float,
    secrets: int = 1,
) -> Verdict:
    """The same, for whoever holds the lock. `secrets`: how many the code may be of."""
    before, booted = attempts.failures, boot_seconds()
    wait = wait_seconds(before, booted, configured.limits)
    if wait > 0:
        detail = f"{before.in_a_row} wrong codes, {whole_seconds(wait)} s to wait"
        return Verdict(False, THROTTLED, detail=detail)
    attempts.record_failures(count_try(before, booted, configured.limits, secrets))
    verdict = judge(credentials, code, now, attempts.steps, configured.window_steps)
    if verdict.accepted:
        assert verdict.credential is not None
        attempts.spend(verdict.credential, verdict.step, credentials, clear(before))
    elif verdict.reason == REUSED_CODE:
        attempts.record_failures(before)  # the owner in a hurry; it tells a guesser nothing
    return verdict


def judge_recovery_code(user: pwd.struct_passwd, place: SecretDir, code: str) -> Verdict:
    """The verdict on a recovery code. No throttle: 80 bits cannot be guessed, and whoever is kept
    waiting by somebody else's guesses gets in with one."""
    from pam_totp.records.user import recovery  # hardly any login has one

    if posix.geteuid() != 0:
        raise Failure(STATE_UNAVAILABLE, "only root can record a recovery code as used")
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
        except Failure:
            pass  # the code is spent: the wait may go on, but this login is let in
    finally:
        attempts.close()
    message = f"{left} recovery codes left."
    if left <= 3:
        message += " New ones: pam-totp recovery-codes"
    return Verdict(True, RECOVERY_CODE, message=message)
