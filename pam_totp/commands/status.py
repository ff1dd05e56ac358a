"""`pam-totp status` and `pam-totp check`: what is there, and what the verifier would say."""

import argparse
import json
import os
import time
from typing import Any

from pam_totp.enrollment.display import describe_offset
from pam_totp.enrollment.identity import own_account, place_of
from pam_totp.enrollment.terminal import ask
from pam_totp.errors import Fault
from pam_totp.records.user import attempts, recovery, secret
from pam_totp.rules.credential import Credential, parse_file
from pam_totp.rules.reasons import BAD_INPUT, CLOCK_SKEW, REUSED_CODE, WRONG_CODE, Refused
from pam_totp.rules.verdict import judge, read_code
from pam_totp.stack import services

_HINTS = {
    BAD_INPUT: "type the 6 to 8 digits that the app shows",
    WRONG_CODE: "codes change every 30 s; compare the phone's clock with `date`",
    REUSED_CODE: "wait for the next code: each one is good for one login",
}


def status(options: argparse.Namespace) -> int:
    """Prints what is enrolled. 0: all is well, "not enrolled" included; 1: found faults, and what
    they hide is None."""
    account = own_account()
    place = place_of(account)
    path = f"{place.path}/{secret.NAME}"
    credentials: list[Credential] = []
    faults: list[str] = []
    enrolled = made = None
    try:
        content = place.read(secret.NAME)
        if content is not None:
            credentials, faults = parse_file(content)
            if not credentials and not faults:
                faults = ["no credential in the file"]
        enrolled = True if credentials else None if faults else False
    except Refused as refused:
        faults = [refused.detail]
    try:
        codes = recovery.read(place)
        made = len(codes.hashes) if codes else 0
    except Refused as refused:
        faults += [refused.detail] if refused.detail not in faults else []
    found: dict[str, Any] = {
        "user": account.pw_name,
        "enrolled": enrolled,
        "file": path,
        "since": _changed_at(path) if enrolled else None,
        "devices": [describe(credential) for credential in credentials],
        "recovery_codes": made,
        "services": services.that_ask(),
        "faults": faults,
    }
    print(json.dumps(found, indent=2) if options.json else _as_text(found))
    return 1 if faults else 0


def check(_options: argparse.Namespace) -> int:
    """Asks for a code and says what the verifier would; nothing is spent. Raises Fault."""
    account = own_account()
    try:
        credentials = secret.read(place_of(account))
        if credentials is None:
            raise Fault(f"{account.pw_name} is not enrolled", "pam-totp enroll")
        code = read_code(ask("Verification code: ").encode("utf-8", "replace"))
        spent = _spent_steps(account.pw_uid)
    except Refused as refused:
        message = f"refused ({refused.reason}): {refused.detail}"
        raise Fault(message, _HINTS.get(refused.reason, "pam-totp status")) from None
    verdict = judge(credentials, code, time.time(), spent)
    if not verdict.accepted:
        message, hint = f"refused ({verdict.reason})", _HINTS.get(verdict.reason, "")
        if verdict.reason == CLOCK_SKEW and verdict.credential is not None:
            period = verdict.credential.period
            seconds = (verdict.step - int(time.time() // period)) * period
            first, hint = describe_offset(seconds).split("\n")
            message += f": {first}"
        raise Fault(message, hint)
    assert verdict.credential is not None
    print(f"Right: this code of {verdict.credential.device!r} would be let in. It is not spent.")
    if os.geteuid() != 0:
        print(
            "Whether it was used before, or has to wait after wrong ones, is known to root alone."
        )
    return 0


def describe(credential: Credential) -> dict[str, Any]:
    """A credential without its secret."""
    return {
        "device": credential.device,
        "account": credential.account,
        "type": "totp",
        "algorithm": credential.algorithm,
        "digits": credential.digits,
        "period": credential.period,
    }


def _spent_steps(uid: int) -> dict[str, int]:
    return attempts.look(uid)[0] if os.geteuid() == 0 else {}


def _changed_at(path: str) -> str | None:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(os.stat(path).st_mtime))
    except (OverflowError, OSError, ValueError):
        return None


def _as_text(found: dict[str, Any]) -> str:
    if found["enrolled"] is False:
        lines = [f"{found['user']}: not enrolled (pam-totp enroll)"]
        # Whether that is so is root's to know.
        lines += ["  if a code has let you in before, logins are refused until then"]
    else:
        state = f"since {found['since']}" if found["enrolled"] else "unknown, see the fault"
        lines = [f"{found['user']}: enrolled {state}"]
        lines += [
            "  device {device!r}: {account!r}, {algorithm}, {digits} digits, {period} s".format(
                **each
            )
            for each in found["devices"]
        ]
        lines += [f"  file {found['file']}"]
        made = found["recovery_codes"]
        if made is not None:
            lines += [f"  {made} recovery codes were made" if made else "  no recovery codes"]
    asking = ", ".join(found["services"]) or "no service on this machine"
    lines += [f"  a code is asked for by {asking}"]
    lines += [f"  fault: {fault}" for fault in found["faults"]]
    return "\n".join(lines)
