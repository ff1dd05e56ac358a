# SPDX-License-Identifier: MIT
"""Enrolling at the login itself: a correct code of a secret that was shown there saves it.

Runs only for users without a secret.
"""

import posix
from contextlib import closing

from pam_totp.access.decision import ELSEWHERE, MISSING
from pam_totp.access.facts import state_of
from pam_totp.login.check_here import check_code
from pam_totp.records.config.settings import Settings
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.records.user import enforced, pending, recovery, secret
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules import reasons
from pam_totp.rules.credential import parse_line
from pam_totp.rules.ignored_parameters import ignored_parameters
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.typed_code import read_code
from pam_totp.rules.verdict import Verdict


def enroll_with_code(
    request: Request, secret_dir: SecretDir, typed: bytes, settings: Settings, now: float
) -> Verdict:
    """The verdict on the code of a user without a secret, who may enroll at this very login: a
    correct code of the secret that was shown there saves it. Raises OSError or Failure."""
    refuse_unless_enrolling(request, secret_dir, settings)
    code = read_code(typed)
    with closing(Attempts(secret_dir.account.pw_uid)) as attempts:
        # Of two logins at once the second finds, under the lock, what the first has saved.
        credentials = secret_dir.credentials()
        if credentials is not None:
            return check_code(attempts, credentials, code, settings, now)
        return check_shown(attempts, secret_dir, code, settings, now)


def refuse_unless_enrolling(request: Request, secret_dir: SecretDir, settings: Settings) -> None:
    """Raises Failure where this login enrolls nobody."""
    is_root, user = posix.geteuid() == 0, secret_dir.account
    state = state_of(user, settings, is_enforced=is_root and enforced.is_set(user.pw_uid))
    migrate = f"pam-totp migrate {user.pw_name}"
    if state == ELSEWHERE:
        detail = f"the secret is in the other store; run: {migrate}"
        raise Failure(reasons.SECRET_MISSING, detail)
    if state == MISSING and is_root and VAR.has("contacts", user.pw_uid):
        # Such as after a reboot. No word of a reset, which would take the contact away.
        detail = "no code was sent for this login, and there is no secret file"
        raise Failure(reasons.SECRET_MISSING, detail)
    if state == MISSING:
        detail = "logged in with a code before, perhaps one that was sent, but no secret file now; "
        detail += f"if that was an earlier user of this id, run: pam-totp reset {user.pw_name}"
        if settings.store == "system":
            detail += f"; if renamed, run: {migrate} --renamed-from OLD"
        raise Failure(reasons.SECRET_MISSING, detail)
    if not (is_root and settings.enrollment.enrolls_at(request.service)):
        sent = ", and no code was sent for this login" if VAR.has("contacts", user.pw_uid) else ""
        raise Failure(reasons.NOT_ENROLLED, f"no secret file{sent}")


def check_shown(
    attempts: Attempts, secret_dir: SecretDir, code: str, settings: Settings, now: float
) -> Verdict:
    """The verdict on a code of one of the secrets that were shown; a correct one saves its secret.
    Raises OSError or Failure."""
    lines = [f"{uri} phone" for uri in pending.read(secret_dir.account)]
    if not lines:
        detail = "no secret file, and no secret was shown to this user in the last 10 minutes"
        raise Failure(reasons.NOT_ENROLLED, detail)
    shown = [parse_line(line) for line in lines]
    verdict = check_code(attempts, shown, code, settings, now)
    if verdict.reason == reasons.WRONG_CODE:  # what may help a person whose app made the code
        said = [ignored_parameters(each, code, now, settings.window_steps) for each in shown]
        count = f"secrets shown in the last 10 minutes: {len(shown)}"
        details = filter(None, [verdict.detail, count, *said])
        raise Failure(reasons.WRONG_CODE, "; ".join(details))
    if not verdict.accepted or verdict.credential is None:
        return verdict
    line = lines[shown.index(verdict.credential)]
    content = f"{secret.HEADER}{line}\n".encode()
    secret_writer.save(secret_dir, [(secret.NAME, content)], over=(secret.NAME, None))
    RUN.remove(pending.KIND, secret_dir.account.pw_uid)
    message = save_first_recovery_codes(secret_dir)
    return Verdict(**vars(verdict) | {"detail": "enrolled at this login", "message": message})


def save_first_recovery_codes(secret_dir: SecretDir) -> str:
    """Makes and saves recovery codes; what the user is told of them."""
    codes = recovery.new_codes()
    try:
        secret_writer.save(secret_dir, [(recovery.NAME, recovery.new_file(codes))])
        return recovery.describe(codes)
    except (OSError, Failure, MemoryError, ImportError, ValueError):  # limits that su passes on
        what = "You are enrolled, but recovery codes could not be saved."
        return f"{what}\nRun: pam-totp recovery-codes"
