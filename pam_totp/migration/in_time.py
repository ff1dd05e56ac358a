# SPDX-License-Identifier: MIT
"""Moving the secrets of many users, one after another, in processes that can be killed."""

import pwd
from collections.abc import Callable, Sequence
from typing import Any

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage import state_dir
from pam_totp.records.user import enforced
from pam_totp.review import everybody
from pam_totp.review.in_time import AT_ONCE, NO_ANSWER, LookFailed, each_in_time
from pam_totp.review.looking import MAX_CHANGE_SECONDS, UNCHANGED_WORDS, Stop
from pam_totp.review.user_row import fault_of_home, may_log_in
from pam_totp.rules.reasons import Failure
from pam_totp.signals import calling

Rows = list[dict[str, Any]]
# Of one user: what was moved, and what is wrong.
Move = Callable[[pwd.struct_passwd], tuple[Rows, str]]
_SILENT = f"{UNCHANGED_WORDS}; run the command again"


def all_accounts() -> list[pwd.struct_passwd]:
    """Everybody who may have a secret. Raises Error."""
    try:
        return everybody.accounts(everybody.names(enforced.KIND))
    except Failure as refused:
        raise Error(*repair.split(refused.detail, state_dir.VAR.path)) from None


def move_in_time(
    accounts: Sequence[pwd.struct_passwd],
    move_one: Move,
    moved: Rows,
    faults: list[dict[str, str]],
) -> None:
    """Adds to both, by processes that can be killed: a home may never answer. Raises Error or
    KeyboardInterrupt, between two users."""
    stop = Stop()

    def look(account: pwd.struct_passwd) -> tuple[list[dict[str, Any]], str]:
        """What was moved, and what is wrong."""
        if stop.is_told():
            return [], ""
        try:
            return move_one(account)
        except Error as fault:
            return [], fault.message
        except Failure as refused:
            is_open = may_log_in(account) and not fault_of_home(account)
            return [], refused.detail if is_open else ""

    try:
        with calling(stop.tell):
            for account, answer in each_in_time(accounts, look, MAX_CHANGE_SECONDS, AT_ONCE):
                found, fault = ([], _SILENT) if answer is NO_ANSWER else answer
                moved += found
                if fault:
                    faults.append({"user": account.pw_name, "fault": fault})
    except LookFailed as failure:
        message = f"not all secrets were moved: {failure}"
        raise Error(message, "run the command again") from None
    if stop.is_told():
        raise KeyboardInterrupt
