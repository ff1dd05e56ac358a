# SPDX-License-Identifier: MIT
"""One try of a code in a command: under the throttle of logins, where root runs it.

- A try MUST be counted before its code is compared. It is taken back for a code that is correct, or
  that was, as neither is a guess.
- By others than root nothing MUST be counted: who runs as the user could keep the user out by it,
  and can read the secret anyhow.
"""

import contextlib
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import closing

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.errors import Error, command
from pam_totp.records.config import settings
from pam_totp.records.storage.state_dir import RUN
from pam_totp.records.user.attempts import Attempts, boot_seconds
from pam_totp.rules.credential import Credential
from pam_totp.rules.reasons import THROTTLED, Failure
from pam_totp.rules.record import MutableRecord
from pam_totp.rules.throttle import count_try, wait_seconds, whole_seconds
from pam_totp.rules.tokens import by_guesses


class Try(MutableRecord):
    """compared: the credentials with which the code may be compared, for root a token once for each
    guess that its codes are; is_guess: to be made False for a code that is correct, or was."""

    compared: list[Credential]
    is_guess: bool = True


@contextlib.contextmanager
def one_try(account: pwd.struct_passwd, credentials: Sequence[Credential]) -> Iterator[Try]:
    """In its block the code is compared; no login of the user is, meanwhile. Raises Error where the
    user has to wait, or where nothing can be recorded."""
    if os.geteuid() != 0:
        yield Try(compared=list(credentials))
        return
    limits = settings.load().limits
    try:
        with closing(Attempts(account.pw_uid)) as attempts:
            before, used, booted = attempts.failures, attempts.steps, boot_seconds()
            wait = wait_seconds(before, booted, limits)
            if wait > 0:
                told = f"incorrect codes: {before.in_a_row}, {whole_seconds(wait)} s to wait"
                raise Error(f"refused ({THROTTLED}): {told}", command("unlock", account.pw_name))
            latest = sorted(credentials, key=lambda each: used.get(each.identity, -1), reverse=True)
            guesses = by_guesses(latest)
            compared, counted = count_try(before, booted, limits, len(guesses))
            attempts.record(used, counted)
            tried = Try(compared=guesses[:compared])
            yield tried
            if not tried.is_guess:
                attempts.record(used, before)
                return
    except Failure as failure:
        raise Error(*repair.split(failure.detail, RUN.path)) from None
    forget_mark(account)  # so that the next login says that there is a wait
