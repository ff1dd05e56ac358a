# SPDX-License-Identifier: MIT
"""Whether a login would accept a code. Nothing is used up."""

import os
import pwd
import time

from pam_totp.enrollment.display import describe_offset
from pam_totp.enrollment.identity import secret_dir_of
from pam_totp.enrollment.proof import SKEW_SECONDS, WINDOW_STEPS, command_without
from pam_totp.errors import Error
from pam_totp.records.user import attempts
from pam_totp.rules.credential import Credential
from pam_totp.rules.ignored_parameters import ignored_parameters
from pam_totp.rules.otp import Verdict, nearest_step, read_code, verdict_on
from pam_totp.rules.reasons import BAD_INPUT, CLOCK_SKEW, REUSED_CODE, WRONG_CODE, Failure

_HINTS = {
    BAD_INPUT: "enter the 6 to 8 digits that the app shows",
    WRONG_CODE: "compare the phone's clock with `date`",
    REUSED_CODE: "wait for the next code, because each one is valid for one login",
}


def credentials_of(account: pwd.struct_passwd) -> list[Credential]:
    """Those that the account has enrolled. Raises Error where there is none."""
    try:
        credentials = secret_dir_of(account).credentials()
    except Failure as failure:
        raise _error_of(failure) from None
    if credentials is None:
        raise Error(f"{account.pw_name} is not enrolled", "pam-totp enroll")
    return credentials


def device_of(account: pwd.struct_passwd, credentials: list[Credential], typed: str) -> str:
    """The device whose code was typed. Raises Error where a login would refuse it."""
    if not typed.strip():  # not the words of a login, where nobody may have been asked
        raise Error(f"refused ({BAD_INPUT}): no code was entered", _HINTS[BAD_INPUT])
    try:
        code = read_code(typed.encode("utf-8", "replace"))
        used = _used_steps(account.pw_uid)
    except Failure as failure:
        raise _error_of(failure) from None
    now = time.time()
    verdict = verdict_on(credentials, code, now, used)
    if not verdict.accepted:
        raise _refusal(verdict, credentials, code, now)
    assert verdict.credential is not None
    return verdict.credential.device


def _error_of(failure: Failure) -> Error:
    message = f"refused ({failure.reason}): {failure.detail}"
    return Error(message, _HINTS.get(failure.reason, "pam-totp status"))


def _refusal(verdict: Verdict, credentials: list[Credential], code: str, now: float) -> Error:
    message, hint = f"refused ({verdict.reason})", _HINTS.get(verdict.reason, "")
    seconds = 0
    if verdict.reason == CLOCK_SKEW and verdict.credential is not None:
        period = verdict.credential.period
        seconds = (verdict.step - int(now // period)) * period
    elif verdict.reason == WRONG_CODE:
        for credential in credentials:
            ignored = ignored_parameters(credential, code, now, WINDOW_STEPS)
            if ignored:
                return Error(f"{message}: {ignored}", command_without(credential))
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


def _used_steps(uid: int) -> dict[str, int]:
    return attempts.look(uid)[0] if os.geteuid() == 0 else {}
