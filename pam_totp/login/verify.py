"""The verifier: is this the code? Exit 0: let in. Anything else: refuse.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import time

from pam_totp.login.check_code import judge_code, judge_first_code, judge_recovery_code
from pam_totp.records.config.settings import Settings, load
from pam_totp.records.host import account, audit
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import enforced, remembered, secret
from pam_totp.rules.reasons import INTERNAL_ERROR, Failure
from pam_totp.rules.request import Request
from pam_totp.rules.verdict import Verdict, read_code, read_recovery_code

MAX_INPUT_BYTES = 512  # what pam_exec passes on at most


def main() -> None:
    """Decides, writes the audit line, ends the process; whatever goes wrong refuses."""
    status = 1
    try:
        request = Request(posix.environ)
        verdict, fault = decide(request, time.time())
        device = verdict.credential.device if verdict.credential is not None else ""
        detail = "; ".join(part for part in (verdict.detail, fault) if part)
        word = "accept" if verdict.accepted else "refuse"
        fields = request.audit_fields(device, detail)
        audit.write(verdict.accepted, word, verdict.reason, fields)
        status = 0 if verdict.accepted else 1
        if verdict.message:
            posix.write(1, f"{verdict.message}\n".encode())
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def decide(request: Request, now: float) -> tuple[Verdict, str]:
    """The verdict on the code on standard input, and what is wrong with the settings."""
    fault = ""
    try:
        configured = load()
        fault = configured.fault
        return verify(request, read_input(), configured, now), fault
    except Failure as refused:
        return Verdict(False, refused.reason, detail=refused.detail), fault
    except BaseException as failure:
        detail = f"{type(failure).__name__}: {failure}"
        return Verdict(False, INTERNAL_ERROR, detail=detail), fault


def verify(request: Request, typed: bytes, configured: Settings, now: float) -> Verdict:
    """The verdict on what was typed; a yes is recorded before it is said."""
    user = account.find(request.user)
    place = SecretDir(user, configured.store)
    credentials = secret.read(place)
    if credentials is None:
        verdict = judge_first_code(request, user, place, typed, configured, now)
    elif (recovery_code := read_recovery_code(typed)) is not None:
        verdict = judge_recovery_code(user, place, recovery_code)
    else:
        verdict = judge_code(user, credentials, read_code(typed), configured, now)
    if verdict.accepted:
        verdict.detail = "; ".join(filter(None, (verdict.detail, remember_login(user.pw_uid))))
        if configured.remember_seconds:
            remembered.remember(request, user, configured)
    return verdict


def remember_login(uid: int) -> str:
    """Sets the mark. A full disk refuses nobody a right code: the log says it, and so again."""
    if posix.geteuid() != 0:
        return ""
    try:
        enforced.set_mark(uid)
    except OSError as failure:
        return f"mark not set: {failure.strerror}"
    except Failure as refused:
        return f"mark not set: {refused.detail}"
    return ""


def read_input() -> bytes:
    """Standard input up to its end, or up to more than any code has."""
    typed = b""
    while len(typed) <= MAX_INPUT_BYTES:
        chunk = posix.read(0, MAX_INPUT_BYTES)
        if not chunk:
            break
        typed += chunk
    return typed
