# SPDX-License-Identifier: MIT
"""Whether the person who turns codes on has enrolled, and proves a code before anything changes."""

import pwd
import shlex
import sys

from pam_totp.enrollment import fleet_check
from pam_totp.enrollment.code_check import credential_of, credentials_of
from pam_totp.enrollment.terminal import ask, say
from pam_totp.errors import Error
from pam_totp.records.config.settings import FLEET, load
from pam_totp.rules.credential import Credential
from pam_totp.setup.people import has_enrolled
from pam_totp.setup.person import Person

TRIES = 3
# The account and its credentials; None where the store of a fleet has them.
Enrolled = tuple[pwd.struct_passwd, list[Credential] | None]


def enrolled(person: Person, *, has_trial: bool) -> Enrolled:
    """The account of the person and its credentials. has_trial: else nobody could keep one here,
    which is said in the same sentence. Raises Error."""
    account = person.account
    if account is None:
        message = "who runs this command cannot be determined, so no code can be checked"
        hint = shlex.join(["pam-totp", *sys.argv[1:], "--force"])
        raise Error(f"{message}; nothing was changed", hint)
    try:
        if load().store == FLEET:
            fleet_check.refuse_unless_enrolled(account)
            return account, None
        return account, credentials_of(account)
    except Error as fault:
        command = "pam-totp enroll" if account.pw_uid else "pam-totp enroll --user root"
        hint = command if "not enrolled" in fault.message else fault.hint
        more = "" if has_trial else ", and there is no terminal here, where a trial could be kept"
        raise Error(f"{fault.message}{more}; nothing was changed", hint) from None


def ask_code(of: Enrolled) -> None:
    """Asks for a code until one is correct. Raises Error."""
    account, credentials = of
    say(f"Before anything is changed, enter a code of {account.pw_name}, as at a login.")
    if credentials is None:
        say("It is used up in the whole fleet. Log in with the next one.")
    for left in reversed(range(TRIES if sys.stdin.isatty() else 1)):
        typed = ask("Verification code: ")
        try:
            if credentials is None:
                fleet_check.check(account, typed)
            else:
                credential_of(account, credentials, typed)
            return
        except Error as fault:
            if not left:
                raise Error(f"{fault.message}; nothing was changed", fault.hint) from None
            say(f"{fault.message}. Try again, or press Ctrl-C to cancel.")


def note_of_unenrolled(person: Person, *, is_forced: bool, seconds: int) -> str:
    """What it means that the person has not enrolled, in a sentence; empty where that is not so.
    is_forced: by --force. seconds: of the trial, 0 for none."""
    if person.account is None or has_enrolled(person.name):
        return ""
    who = f"{person.name} has not enrolled"
    if not is_forced:
        return f"{who}, so nothing would be changed without --force."
    if seconds:
        return f"{who}, so another user has to log in with a code for the trial to be kept here."
    return f"{who}, and there is no trial, so it is not known whether a login with a code works."
