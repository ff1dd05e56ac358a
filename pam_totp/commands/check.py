"""`pam-totp check`: what the verifier would say of a code; nothing is used up."""

import argparse
import os
import time

from pam_totp.enrollment.display import describe_offset
from pam_totp.enrollment.identity import own_account, place_of
from pam_totp.enrollment.terminal import ask
from pam_totp.errors import Error
from pam_totp.records.user import attempts, secret
from pam_totp.rules.reasons import BAD_INPUT, CLOCK_SKEW, REUSED_CODE, WRONG_CODE, Failure
from pam_totp.rules.verdict import judge, read_code

HELP = "type a code, learn what the verifier would say"

_HINTS = {
    BAD_INPUT: "type the 6 to 8 digits that the app shows",
    WRONG_CODE: "codes change every 30 s; compare the phone's clock with `date`",
    REUSED_CODE: "wait for the next code: each one is good for one login",
}


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """`pam-totp check` takes no options."""


def run(_options: argparse.Namespace) -> int:
    """Asks for a code and says what the verifier would; nothing is spent. Raises Error."""
    account = own_account()
    try:
        credentials = secret.read(place_of(account))
        if credentials is None:
            raise Error(f"{account.pw_name} is not enrolled", "pam-totp enroll")
        code = read_code(ask("Verification code: ").encode("utf-8", "replace"))
        spent = _spent_steps(account.pw_uid)
    except Failure as refused:
        message = f"refused ({refused.reason}): {refused.detail}"
        raise Error(message, _HINTS.get(refused.reason, "pam-totp status")) from None
    verdict = judge(credentials, code, time.time(), spent)
    if not verdict.accepted:
        message, hint = f"refused ({verdict.reason})", _HINTS.get(verdict.reason, "")
        if verdict.reason == CLOCK_SKEW and verdict.credential is not None:
            period = verdict.credential.period
            seconds = (verdict.step - int(time.time() // period)) * period
            first, hint = describe_offset(seconds).split("\n")
            message += f": {first}"
        raise Error(message, hint)
    assert verdict.credential is not None
    print(f"Right: this code of {verdict.credential.device!r} would be let in. It is not spent.")
    if os.geteuid() != 0:
        print(
            "Whether it was used before, or has to wait after wrong ones, is known to root alone."
        )
    return 0


def _spent_steps(uid: int) -> dict[str, int]:
    return attempts.look(uid)[0] if os.geteuid() == 0 else {}
