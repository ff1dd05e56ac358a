"""The gate: does this login need a code? Exit 0: none is needed. Anything else: ask.

`gate look` only answers: nothing is used up, said or logged.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import sys
import time
from _signal import alarm  # type: ignore[import-not-found]

from pam_totp.access.decision import Decision
from pam_totp.access.facts import Standing, View
from pam_totp.records.config import settings
from pam_totp.records.config.settings import Settings
from pam_totp.records.host import audit
from pam_totp.records.user import grant
from pam_totp.rules.enrollment import AT_LOGIN, DAY_SECONDS
from pam_totp.rules.reasons import GRACE, GRANTED, NOT_ENROLLED, STATE_UNAVAILABLE, Failure
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import whole_seconds

# A directory that does not answer must not hold a login up for good: the signal ends this process,
# and the answer is "ask".
MAX_SECONDS = 10
# Lets whoever has passed the first factor enroll at the login itself. It draws a QR code, with
# libraries that no other login loads, and never ends with 0.
OFFER = "/usr/libexec/pam-totp/show-enrollment"


def main() -> None:
    """Decides and ends the process; whatever goes wrong, the answer is "ask"."""
    status = 1
    try:
        request = Request(posix.environ)
        configured = settings.load()
        alarm(MAX_SECONDS)
        now = time.time()
        try:
            view = View(request, configured, now)
        except Failure:
            return  # verify meets the same, refuses, and says why in the log
        if sys.argv[1:] == ["look"]:
            status = int(view.decision.needs_code)
        elif is_let_through(request, view, configured, now):
            status = 0
        else:
            assert view.standing is not None
            tell(request, view.decision, view.standing, configured)
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def is_let_through(request: Request, view: View, configured: Settings, now: float) -> bool:
    """Whether no code is needed, which the log says; a grant that is good once is gone then."""
    fault = view.standing.given_fault if view.standing is not None else ""
    reason = view.decision.reason
    if reason == GRANTED:
        try:
            if not grant.use(view.user.pw_uid, now):
                reason = ""  # another login was faster
        except Failure as refused:
            fault, reason = refused.detail, ""
    if reason:
        why = "a code was given a moment ago" if view.remembered else ""
        line = f"rule of line {view.rule.line}" if view.rule.line else ""
        detail = "; ".join(part for part in (why, line, configured.fault) if part)
        audit.write(True, "skip", reason, request.audit_fields("", detail))
        if reason == GRACE:
            tell_deadline(view.decision, configured)
    elif fault:
        audit.write(False, "ask", STATE_UNAVAILABLE, request.audit_fields("", fault))
    return bool(reason)


def tell(request: Request, decision: Decision, standing: Standing, configured: Settings) -> None:
    """What stands before the prompt."""
    if standing.wait > 0:
        say(configured.message("wait", seconds=whole_seconds(standing.wait)))
    elif standing.is_enrolled is False and decision.enrolls and posix.geteuid() == 0:
        alarm(0)
        # Libraries go by PATH and more, which the application may have from the user.
        known = (b"PAM_", b"SSH_AUTH_INFO_0")
        kept = {name: posix.environ[name] for name in posix.environ if name.startswith(known)}
        posix.execve(OFFER, [OFFER], kept)
    elif standing.is_enrolled is False:
        if configured.enrollment.mode == AT_LOGIN and not decision.enrolls:
            detail = "this service is not in enrollment_services, so no secret is shown"
            audit.write(False, "ask", NOT_ENROLLED, request.audit_fields("", detail))
        say(configured.message("not_enrolled"))


def tell_deadline(decision: Decision, configured: Settings) -> None:
    """What whoever has not enrolled is told until that is required."""
    day = time.gmtime(configured.enrollment.deadline // DAY_SECONDS * DAY_SECONDS)
    date = f"{day.tm_year}-{day.tm_mon:02}-{day.tm_mday:02}"
    say(configured.message("deadline", date=date, days=decision.days))


def say(line: str) -> None:
    """One line for the user: pam_exec passes on what is printed here."""
    try:
        posix.write(1, f"{line}\n".encode())
    except OSError:
        pass  # nobody listens, which decides nothing
