"""Enrolling at the login itself: a correct code of a secret that was shown there saves it.

Runs only for users without a secret.
"""

import posix

from pam_totp.access.decision import ELSEWHERE, MISSING
from pam_totp.access.facts import state_of
from pam_totp.login.verify import check_code
from pam_totp.records.config.settings import Settings
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.secret_dir import SECRET, SecretDir
from pam_totp.records.user import enforced, pending, recovery, secret
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.credential import Credential, parse_line
from pam_totp.rules.ignored_parameters import ignored_parameters
from pam_totp.rules.otp import read_code
from pam_totp.rules.reasons import (
    NOT_ENROLLED,
    SECRET_MISSING,
    STATE_UNAVAILABLE,
    WRONG_CODE,
    Failure,
)
from pam_totp.rules.request import Request
from pam_totp.rules.verdict import Verdict


def enroll_with_code(
    request: Request, secret_dir: SecretDir, typed: bytes, settings: Settings, now: float
) -> Verdict:
    """The verdict on the code of a user without a secret, who may enroll at this very login: a
    correct code of the secret that was shown there saves it. Raises Failure."""
    user = secret_dir.account
    is_root = posix.geteuid() == 0
    state = state_of(user, settings, is_enforced=is_root and enforced.is_set(user.pw_uid))
    if state == ELSEWHERE:
        detail = f"the secret is in the other store; run: pam-totp migrate {user.pw_name}"
        raise Failure(SECRET_MISSING, detail)
    if state == MISSING:
        detail = "logged in with a code before, but no secret file now; if that was an earlier user"
        detail = f"{detail} of this id, run: pam-totp reset {user.pw_name}"
        if settings.store == "system":
            detail += f"; if renamed, run: pam-totp migrate {user.pw_name} --renamed-from OLD"
        raise Failure(SECRET_MISSING, detail)
    if not (is_root and settings.enrollment.enrolls_at(request.service)):
        raise Failure(NOT_ENROLLED, "no secret file")
    code = read_code(typed)
    posix.umask(0o077)  # the application's may be a user's, and leave even the owner nothing
    attempts = Attempts(user.pw_uid)
    try:
        # Of two logins at once the second finds, under the lock, what the first has saved.
        credentials = secret_dir.credentials()
        if credentials is not None:
            return check_code(attempts, credentials, code, settings, now)
        lines = [f"{uri} phone" for uri in pending.read(user)]
        if not lines:
            detail = "no secret file, and no secret was shown to this user in the last 10 minutes"
            raise Failure(NOT_ENROLLED, detail)
        credentials = [parse_line(line) for line in lines]
        verdict = check_code(attempts, credentials, code, settings, now)
        if verdict.credential is None or not verdict.accepted:
            return explain_refusal(verdict, credentials, code, settings, now)
        line = lines[credentials.index(verdict.credential)]
        content = f"{secret.HEADER}{line}\n".encode()
        secret_writer.save_all(secret_dir, [(SECRET, content)], over=(SECRET, None))
        pending.remove(user.pw_uid)
    except secret_writer.Changed:
        raise Failure(STATE_UNAVAILABLE, "another program has enrolled this user") from None
    except OSError as failure:
        detail = f"cannot enroll at this login: {failure.strerror}"
        raise Failure(STATE_UNAVAILABLE, detail) from None
    finally:
        attempts.close()
    return Verdict(
        accepted=True,
        reason=verdict.reason,
        credential=verdict.credential,
        step=verdict.step,
        detail="enrolled at this login",
        message=save_first_recovery_codes(secret_dir),
    )


def explain_refusal(
    verdict: Verdict, credentials: list[Credential], code: str, settings: Settings, now: float
) -> Verdict:
    """The same verdict, with what may help a person whose app made the code."""
    if verdict.reason != WRONG_CODE:
        return verdict
    said = [ignored_parameters(each, code, now, settings.window_steps) for each in credentials]
    shown = f"{len(credentials)} secrets were shown in the last 10 minutes"
    detail = "; ".join(filter(None, [verdict.detail, shown, *said]))
    return Verdict(accepted=False, reason=verdict.reason, detail=detail)


def save_first_recovery_codes(secret_dir: SecretDir) -> str:
    """Makes and saves recovery codes; what the user is told of them."""
    codes = recovery.new_codes()
    try:
        secret_writer.save(secret_dir, recovery.NAME, recovery.new_file(codes))
    except (OSError, Failure, MemoryError, ValueError):  # scrypt takes 16 MiB, su passes on limits
        what = "You are enrolled, but recovery codes could not be saved."
        return f"{what} Run: pam-totp recovery-codes"
    return recovery.describe(codes)
