# SPDX-License-Identifier: MIT
"""A code that was sent for this very login, in place of a code of the app; or the wish for one,
typed at the prompt. With the store of a fleet, pam_totp.login.check_sent_in_fleet does the same.

- A try MUST be counted before the code is compared, once for all methods, with all others of the
  user.
- An accepted code MUST be forgotten before the login goes on.

Runs only for users who have proved a first factor under a rule that accepts such codes.
"""

import pwd
import time
from contextlib import closing

from pam_totp.access.facts import rule_for
from pam_totp.login.become import become
from pam_totp.login.check_here import check_code, count
from pam_totp.login.check_recovery_code import check_scratch_code
from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import contacts, pending, sent
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules import reasons
from pam_totp.rules.credential import Credential
from pam_totp.rules.policy import SENT
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import clear
from pam_totp.rules.verdict import Verdict

MINUTES = sent.KEPT_SECONDS // 60
INCORRECT = "not the code that was sent for this login"
GONE = f"no code was sent for this login; each is good for one login, {MINUTES} minutes and once"


def check_sent_code(
    request: Request, secret_dir: SecretDir, typed: bytes, settings: Settings, now: float
) -> tuple[Verdict | None, list[Credential] | None]:
    """The verdict on a code that was sent; None for what may be another code of the user's, with
    the credentials, as far as they could be read. Raises OSError or Failure. Where a code is to be
    sent, this process goes on as `send-code`."""
    user = secret_dir.account
    login, (answer, is_code) = sent.login_of(request, user), read_answer(typed)
    # A rule that was changed since the code was sent may accept it no more. (NONE is no method.)
    accepted = rule_for(request, user, settings).methods
    try:
        credentials = secret_dir.credentials()
    except Failure:
        credentials = []  # such as a home that is locked
    with closing(Attempts(user.pw_uid)) as attempts:
        of_login = sent.read(user.pw_uid).get(login)
        if is_code and of_login is not None and of_login.kind in accepted:
            before = attempts.failures
            verdict = check_app(attempts, credentials or [], answer, settings, now)
            if not verdict.accepted and of_login.is_code(answer):
                sent.use_up(user.pw_uid, login)
                attempts.record(attempts.steps, clear(before))
                verdict = accept(user, of_login.kind, has_app=credentials is not None)
            elif verdict.reason == reasons.WRONG_CODE and credentials:
                verdict = check_scratch_code(secret_dir, attempts, answer, verdict)
            return verdict, credentials
    if of_login is not None and answer in SENT:
        become(request, "send-code", answer)
    if credentials is None and not pending.read(user):  # of who enrolls here, the code may be right
        what = GONE if is_code else f"a code that is sent has {sent.DIGITS} digits"
        raise Failure(reasons.WRONG_CODE if is_code else reasons.BAD_INPUT, what)
    return None, credentials


def read_answer(typed: bytes) -> tuple[str, bool]:
    """What was typed, and whether it has the form of a code that is sent."""
    answer = typed.removesuffix(b"\0").replace(b" ", b"").decode("utf-8", "replace").lower()
    return answer, len(answer) == sent.DIGITS and answer.isdecimal() and answer.isascii()


def check_app(
    attempts: Attempts, credentials: list[Credential], code: str, settings: Settings, now: float
) -> Verdict:
    """Counts the try, once for all methods; the verdict of the app. Raises Failure."""
    if credentials:
        return check_code(attempts, credentials, code, settings, now)
    count(attempts, settings)
    return Verdict(accepted=False, reason=reasons.WRONG_CODE, detail=INCORRECT)


def accept(user: pwd.struct_passwd, kind: str, *faults: str, has_app: bool) -> Verdict:
    """The verdict on a code that was sent, once it is used up. has_app: whether an app of the user
    is known, or hidden by a fault."""
    return Verdict(
        accepted=True,
        reason=reasons.SENT_CODE,
        device=kind,
        detail="; ".join(filter(None, [confirm(user, kind), *faults])),
        only_sent=not has_app,
    )


def confirm(user: pwd.struct_passwd, kind: str) -> str:
    """Records that a code which was sent there came back; what failed, which refuses nobody."""
    try:
        known = contacts.read(user)
        if kind in known and not known[kind].confirmed:
            now = contacts.Contact(address=known[kind].address, confirmed=int(time.time()))
            contacts.write(user, known | {kind: now})
            return f"the contact for {kind} is confirmed"
    except (OSError, Failure) as failure:  # the text of either
        return f"cannot record that the contact is confirmed: {failure.args[1]}"
    return ""
