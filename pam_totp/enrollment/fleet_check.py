# SPDX-License-Identifier: MIT
"""A code that is tried at the store of a fleet, in a command. It counts as at a login: a correct
one is used up for all hosts, and an incorrect one is a guess."""

import pwd

from pam_totp.enrollment.code_check import HINTS
from pam_totp.enrollment.fleet_enrollment import refusal, standing_of
from pam_totp.errors import Error, command
from pam_totp.records import fleet
from pam_totp.rules import reasons
from pam_totp.rules.reasons import Failure
from pam_totp.rules.typed_code import read_code

SERVICE = "pam-totp"  # in the store's record of tries
_HINTS = HINTS | {
    reasons.WRONG_CODE: "the phone must set its clock by the network",
    reasons.CLOCK_SKEW: "set the phone's clock by the network, and try again",
    reasons.STORE_PROMOTED: "wait for the next code but one",
    reasons.HOST_THROTTLED: "on a database server: pam-totp store status",
}


def refuse_unless_enrolled(account: pwd.struct_passwd) -> None:
    """Raises Error, also where the store does not say so."""
    if standing_of(account.pw_name).state != fleet.ENROLLED:
        raise Error(f"{account.pw_name} is not enrolled", "pam-totp enroll")


def check(account: pwd.struct_passwd, typed: str) -> None:
    """Returns if the store has accepted a code of the account. Raises Error."""
    name = account.pw_name
    try:
        code = read_code(typed.encode("utf-8", "replace"))
        answer = fleet.check(name, code, SERVICE, "")
    except Failure as failure:
        if failure.reason in (reasons.STORE_UNAVAILABLE, reasons.HOST_REFUSED):
            raise refusal(failure, name) from None
        message = f"refused ({failure.reason}): {failure.detail}"
        raise Error(message, _HINTS.get(failure.reason, "pam-totp status")) from None
    if answer.accepted:
        return
    detail = f": {answer.detail}" if answer.detail else ""
    wait = f", {answer.wait_seconds} s to wait" if answer.wait_seconds else ""
    verb = "unlock" if answer.reason == reasons.THROTTLED else "explain"
    there = f"on a database server: {command(verb, name, options=['--fleet'])}"
    raise Error(f"refused ({answer.reason}){detail}{wait}", _HINTS.get(answer.reason, there))
