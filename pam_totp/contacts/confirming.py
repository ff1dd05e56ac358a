# SPDX-License-Identifier: MIT
"""A code that is sent to a new contact, and asked for: whoever gets it there is the user.

- It MUST NOT be sent where nobody can enter it: a text message costs money.
- It MUST count against the limits of codes that are sent.
- It MUST NOT be good at any login: it is kept nowhere but here.
"""

import pwd
import sys
import time
from hmac import compare_digest

from pam_totp.enrollment.identity import caller
from pam_totp.enrollment.terminal import ask, refuse_unanswered, say
from pam_totp.errors import Error, again
from pam_totp.records.config.settings import Settings
from pam_totp.records.host import action_log
from pam_totp.records.user.sent import KEPT_SECONDS
from pam_totp.rules.masked import masked
from pam_totp.rules.reasons import SEND_LIMIT, Failure
from pam_totp.sending import limits
from pam_totp.sending.hand_over import hand_over
from pam_totp.sending.message import new_code, new_message
from pam_totp.sending.running import MAX_SECONDS

SERVICE = "pam-totp"  # of the message, which is for no login
TRIES = 3


def confirm(account: pwd.struct_passwd, kind: str, address: str, settings: Settings) -> None:
    """Sends a code, and returns when it was entered. Raises Error: nothing was changed."""
    refuse_unanswered()
    code = new_code()
    _send(account, kind, address, code, settings)
    until = time.monotonic() + KEPT_SECONDS
    # A program that answers gives one line, and reads nothing but the result.
    is_person = sys.stdin.isatty()
    if is_person:
        say(f"A code is on its way to {address}.")
    for left in reversed(range(TRIES if is_person else 1)):
        typed = ask(f"Enter the code that {account.pw_name} received at {address}: ")
        if time.monotonic() > until:
            message = f"the code is older than {KEPT_SECONDS // 60} minutes; nothing was changed"
            raise Error(message, again())
        if compare_digest(typed.replace(" ", "").encode("utf-8", "replace"), code.encode()):
            return
        if left:
            say("Incorrect code. Try again, or press Ctrl-C to cancel.")
    raise Error("incorrect code; nothing was changed", again())


def _send(
    account: pwd.struct_passwd, kind: str, address: str, code: str, settings: Settings
) -> None:
    user = account.pw_name
    sent = new_message(kind, address, code, user, SERVICE, settings)
    try:
        limits.count(account.pw_uid, settings)
        fault = hand_over(sent, settings, lambda _: None, MAX_SECONDS + 1)
    except Failure as failure:
        if failure.reason == SEND_LIMIT:
            raise Error(f"{failure.detail}; nothing was changed", again("--unconfirmed")) from None
        fault = failure.detail
    except OSError as failure:
        fault = failure.strerror or str(failure)
    if fault:
        what, _, hint = fault.partition("; ")
        message = f"no code could be sent: {what}; nothing was changed"
        raise Error(message, hint.removeprefix("run: ") or "pam-totp doctor")
    fields = {"kind": kind, "address": masked(address)}
    action_log.write("send-contact-code", user=user, by=caller(), **fields)
