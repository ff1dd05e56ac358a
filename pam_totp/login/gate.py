"""The gate: does this login need a code? Exit 0: none is needed. Anything else: ask.

Runs inside every login. Only modules compiled into the interpreter are imported here.
"""

import posix
import pwd
import time

from pam_totp.login.request import Request, from_environment
from pam_totp.records import account, audit, grant, mark, settings
from pam_totp.records.attempts import boot_seconds, look
from pam_totp.records.place import SECRET, STORES, Place
from pam_totp.rules.refusal import EXEMPT, GRANTED, NOT_ENROLLED, Refused
from pam_totp.rules.throttle import wait_seconds, whole_seconds

# The service that `pam-totp` re-checks a password with, all that it is good for. It must not ask,
# even where an administrator put our line into the stack that all services share.
PASSWORD_SERVICE = "pam-totp"


def main() -> None:
    """Decides and ends the process; whatever goes wrong, the answer is "ask"."""
    status = 1
    try:
        request = from_environment()
        configured = settings.load()
        try:
            reason = why_no_code(request, configured)
        except Refused:
            reason = ""  # verify meets the same, refuses, and says why in the log
        if reason:
            audit.write(True, "skip", reason, request.audit_fields("", configured.fault))
            status = 0
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def why_no_code(request: Request, configured: settings.Settings) -> str:
    """The reason for which this login needs no code; empty if it needs one. Raises Refused."""
    if request.service == PASSWORD_SERVICE:
        return EXEMPT
    user = account.find(request.user)
    # Grants and marks are root's to read. A screen locker runs as the user, who could remove the
    # secret anyway: there the user's own file decides.
    is_root = posix.geteuid() == 0
    try:
        if not is_enrolled(user, configured, is_root):
            return NOT_ENROLLED
    except Refused:
        if not is_root:
            raise
    if is_root and use_grant(request, user.pw_uid):
        return GRANTED
    tell_wait(wait_seconds(look(user.pw_uid)[1], boot_seconds(), configured.limits))
    return ""


def is_enrolled(user: pwd.struct_passwd, configured: settings.Settings, is_root: bool) -> bool:
    """Whether the user has a secret, or has ever given a code. Raises Refused."""
    if is_root and mark.is_set(user.pw_uid):
        return True
    # A secret in a home counts too after the change to store: system, until it is imported; and one
    # in either store while nobody can tell which is in force.
    stores = STORES if configured.fault or configured.store == "system" else (configured.store,)
    return any(Place(user, store).read(SECRET) is not None for store in stores)


def use_grant(request: Request, uid: int) -> bool:
    """Whether a grant lets this login in. What is wrong with one is no reason to let in or out."""
    try:
        return grant.use(uid, time.time())
    except Refused as refused:
        audit.write(False, "ask", refused.reason, request.audit_fields("", refused.detail))
        return False


def tell_wait(seconds: float) -> None:
    """What stands before the prompt while wrong codes are waited for."""
    if seconds > 0:
        posix.write(1, f"Too many wrong codes: try again in {whole_seconds(seconds)} s.\n".encode())
