# SPDX-License-Identifier: MIT
"""Whether a login would accept a code. Nothing is used up."""

import os
import pwd
import time

from pam_totp.enrollment import token_check
from pam_totp.enrollment.display import describe_offset
from pam_totp.enrollment.identity import secret_dir_of
from pam_totp.enrollment.one_try import one_try
from pam_totp.enrollment.only_contacts import but_contacts
from pam_totp.enrollment.proof import SKEW_SECONDS, WINDOW_STEPS, options_without
from pam_totp.errors import Error, command
from pam_totp.records.user import attempts, counters
from pam_totp.rules.credential import Credential
from pam_totp.rules.ignored_parameters import ignored_parameters
from pam_totp.rules.otp import nearest_step, verdict_on
from pam_totp.rules.reasons import BAD_INPUT, CLOCK_SKEW, REUSED_CODE, WRONG_CODE, Failure
from pam_totp.rules.typed_code import read_code
from pam_totp.rules.verdict import Verdict

HINTS = {
    BAD_INPUT: "enter the 6 to 8 digits that the app shows",
    WRONG_CODE: "compare the phone's clock with `date`",
    REUSED_CODE: "wait for the next code, because each one is valid for one login",
}


def credentials_of(account: pwd.struct_passwd) -> list[Credential]:
    """Those that the account has enrolled. Raises Error where there is none."""
    try:
        by_root = command("explain", account.pw_name)
        credentials = secret_dir_of(account, by_root).credentials()
    except Failure as failure:
        raise _error_of(failure) from None
    if credentials is None:
        message = f"{account.pw_name} is not enrolled{but_contacts(account)}"
        raise Error(message, "pam-totp enroll")
    return credentials


def credential_of(
    account: pwd.struct_passwd, credentials: list[Credential], typed: str
) -> tuple[Credential, int | None]:
    """The credential of the code that was typed and, of a token that counts, its counter. Raises
    Error where a login would refuse it; of a token's code only root can know that."""
    if not typed.strip():  # not the words of a login, where nobody may have been asked
        raise Error(f"refused ({BAD_INPUT}): no code was entered", HINTS[BAD_INPUT])
    try:
        code = read_code(typed.encode("utf-8", "replace"))
        used = _used_steps(account.pw_uid)
        accepted = accepted_counters(account.pw_uid, credentials)
    except Failure as failure:
        raise _error_of(failure) from None
    now = time.time()
    phones, tokens = _by_kind(credentials)
    with one_try(account, credentials) as tried:
        found = token_check.look(tried.compared, code, accepted)
        verdict = verdict_on(_by_kind(tried.compared)[0], code, now, used)
        was_used = verdict.reason == REUSED_CODE or token_check.was_used(tokens, code, accepted)
        tried.is_guess = not (found or verdict.accepted or was_used)
    if found is not None:
        return found
    if verdict.accepted and verdict.credential is not None:
        return verdict.credential, None
    if tokens and verdict.reason == WRONG_CODE:
        token_check.refuse(tokens, code, accepted, has_phone=bool(phones))
    raise _refusal(verdict, phones, code, now)


def _by_kind(credentials: list[Credential]) -> tuple[list[Credential], list[Credential]]:
    """Those whose codes go by the time, and those that count."""
    phones = [each for each in credentials if each.counter is None]
    return phones, [each for each in credentials if each.counter is not None]


def _error_of(failure: Failure) -> Error:
    message = f"refused ({failure.reason}): {failure.detail}"
    return Error(message, HINTS.get(failure.reason, "pam-totp status"))


def _refusal(verdict: Verdict, credentials: list[Credential], code: str, now: float) -> Error:
    message, hint = f"refused ({verdict.reason})", HINTS.get(verdict.reason, "")
    seconds = 0
    if verdict.reason == CLOCK_SKEW and verdict.credential is not None:
        period, offset = verdict.credential.period, verdict.credential.offset
        seconds = (verdict.step - offset - int(now // period)) * period
    elif verdict.reason == WRONG_CODE:
        for credential in credentials:
            ignored = ignored_parameters(credential, code, now, WINDOW_STEPS)
            if ignored:
                options = options_without(credential)
                return Error(f"{message}: {ignored}", command("enroll", options=options))
        seconds = _seconds_off(credentials, code, now)
    if seconds:
        *apart, hint = describe_offset(seconds).split("\n")
        message = f"{message}: {' '.join(apart)}"
    return Error(message, hint)


def _seconds_off(credentials: list[Credential], code: str, now: float) -> int:
    """How far from now the code is correct, further than a login looks; 0 if it is not."""
    for credential in credentials:
        steps = nearest_step(credential, code, now, SKEW_SECONDS // credential.period)
        if steps:
            return steps * credential.period
    return 0


def accepted_counters(uid: int, credentials: list[Credential]) -> dict[str, int] | None:
    """None where only root could know them."""
    if os.geteuid() != 0:
        return None
    return counters.read(uid) if any(each.counter is not None for each in credentials) else {}


def _used_steps(uid: int) -> dict[str, int]:
    return attempts.look(uid)[0] if os.geteuid() == 0 else {}
