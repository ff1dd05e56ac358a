"""The verifier: is the code correct? Exit 0: accept. Anything else: refuse.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import pwd
import time

from pam_totp.login import own_process
from pam_totp.login.check_code import check_answer
from pam_totp.records.config.settings import Settings, load
from pam_totp.records.host import account, audit
from pam_totp.records.user import enforced, remembered
from pam_totp.rules.reasons import INTERNAL_ERROR, Failure
from pam_totp.rules.request import Request
from pam_totp.rules.verdict import Verdict

# A directory, a disk or a lock that does not answer: the signal ends this process, which refuses.
MAX_SECONDS = 20
MAX_INPUT_BYTES = 512  # what pam_exec passes on at most


def main() -> None:
    """Decides, writes the audit line and ends the process; any error refuses."""
    status = 1
    try:
        own_process.begin(MAX_SECONDS)
        request = Request(posix.environ)
        verdict, notes = reach_verdict(request, time.time())
        device = verdict.credential.device if verdict.credential is not None else ""
        fields = request.audit_fields(device, "; ".join(filter(None, notes)))
        word = "accept" if verdict.accepted else "refuse"
        audit.write(verdict.accepted, word, verdict.reason, fields)
        status = 0 if verdict.accepted else 1
        if verdict.message:
            posix.write(1, f"{verdict.message}\n".encode())
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def reach_verdict(request: Request, now: float) -> tuple[Verdict, list[str]]:
    """The verdict on the code on standard input, and the notes for the log; acceptance is
    recorded before it is reported."""
    settings_fault = login_fault = ""
    try:
        settings = load()
        settings_fault = settings.fault
        user = account.find(request.user)
        verdict = check_answer(request, user, read_input(), settings, now)
        if verdict.accepted:
            login_fault = record_login(request, user, settings)
    except Failure as failure:
        verdict = Verdict(False, failure.reason, detail=failure.detail)
    except BaseException as failure:
        verdict = Verdict(False, INTERNAL_ERROR, detail=f"{type(failure).__name__}: {failure}")
    return verdict, [verdict.detail, login_fault, settings_fault]


def record_login(request: Request, user: pwd.struct_passwd, settings: Settings) -> str:
    """Records that the user has logged in with a code, for good and for `remember`; what failed. A
    full disk refuses nobody a correct code: the log says it, and so again."""
    fault = ""
    if posix.geteuid() == 0:
        try:
            enforced.set_mark(user.pw_uid)
        except (OSError, Failure) as failure:  # the text of either
            fault = f"cannot record this login with a code: {failure.args[1]}"
    if settings.remember_seconds:
        remembered.remember(request, user, settings)
    return fault


def read_input() -> bytes:
    """Standard input up to its end, or up to more than any code has."""
    typed = b""
    while len(typed) <= MAX_INPUT_BYTES:
        chunk = posix.read(0, MAX_INPUT_BYTES)
        if not chunk:
            break
        typed += chunk
    return typed
