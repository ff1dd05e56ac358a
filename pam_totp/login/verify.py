# SPDX-License-Identifier: MIT
"""The verifier: is the code correct? Exit 0: accept. Anything else: refuse.

- A try MUST be counted before the code is checked: killing the verifier gives no free guess.
- An accepted code MUST be recorded as used before the login goes on.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import pwd
import sys
import time

from pam_totp.records.config.settings import FLEET, Settings, load
from pam_totp.records.host import account, audit
from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user import certain, enforced
from pam_totp.rules import reasons
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request, read_request
from pam_totp.rules.verdict import Verdict

MAX_INPUT_BYTES = 512  # what pam_exec passes on at most; no code is as long


def main() -> None:
    """Decides, writes the audit line and ends the process; any error refuses."""
    status = 1
    try:
        request = read_request(posix.environ)
        if sys.argv[1:]:
            from pam_totp.login.note import note_what_was_accepted  # few logins are by a key

            return note_what_was_accepted(request, sys.argv[1])
        verdict, faults = reach_verdict(request, time.time())
        device = verdict.credential.device if verdict.credential is not None else verdict.device
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
        try:
            user = account.find(request.user)
        finally:
            if settings.store == FLEET:
                from pam_totp.records.host import agent  # no other store needs it

                agent.leave_mark(user, request.user, settings, around)
        with open(0, "rb", closefd=False) as answer:
            typed = answer.read(MAX_INPUT_BYTES + 1)
        verdict = check_answer(request, user, typed, settings, now)
        if verdict.accepted and verdict.reason != reasons.OUTAGE_CODE:  # which is nobody's own
            faults.insert(0, record_login(request, user, settings, only_sent=verdict.only_sent))
            if verdict.reason != reasons.RECOVERY_CODE:  # after which the wait may go on
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
    if settings.store == FLEET:
        if posix.geteuid() == 0 and RUN.has("sent", user.pw_uid):
            from pam_totp.login.check_sent_in_fleet import check_sent_in_fleet  # few are sent one

            return check_sent_in_fleet(request, user, typed, settings)
        from pam_totp.login.check_in_fleet import check_in_fleet  # no other store needs it

        return check_in_fleet(request, user, typed, settings)
    from pam_totp.login.check_here import check_here  # nor does that one need this

    return check_here(request, user, typed, settings, now)


def record_login(
    request: Request, user: pwd.struct_passwd, settings: Settings, *, only_sent: bool = False
) -> str:
    """Records that the user has logged in with a code, for good and for `remember`; what failed. A
    full disk refuses nobody a correct code: the log says it, and so again."""
    if settings.remember_seconds:
        from pam_totp.records.user import remembered  # few hosts remember codes

        remembered.remember(request, user, settings)
    if posix.geteuid() == 0:
        try:
            enforced.record_login(user.pw_uid, only_sent=only_sent)
        except (OSError, Failure) as failure:  # the text of either
            return f"cannot record this login with a code: {failure.args[1]}"
    return ""
