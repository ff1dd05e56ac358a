# SPDX-License-Identifier: MIT
"""A code that must be of one device, for programs that ask for it themselves (scripts/mfa): judged,
counted, recorded and logged as that of a login, under the same lock.

- An accepted code MUST be recorded as used, and logged, before the caller knows.
- Recovery codes are of no device, so none MUST be accepted or used up here.
"""

import pwd
import time
from contextlib import closing

from pam_totp.login.check_here import check_code
from pam_totp.login.verify import record_login
from pam_totp.records.config.settings import load
from pam_totp.records.host import audit
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.reasons import NOT_ENROLLED, STATE_UNAVAILABLE, WRONG_CODE, Failure
from pam_totp.rules.request import Request
from pam_totp.rules.typed_code import read_code
from pam_totp.rules.verdict import Verdict


def verify(account: pwd.struct_passwd, typed: str, identities: set[str], service: str) -> Verdict:
    """The verdict on what was typed; `identities`: of the device's secrets. The code of another
    device of the user is used up, as at a login, and refused."""
    request = Request(user=account.pw_name, service=service)
    faults: list[str] = []
    try:
        verdict = _verdict(request, account, typed, identities, faults)
    except Failure as failure:
        verdict = Verdict(accepted=False, reason=failure.reason, detail=failure.detail)
    except OSError as failure:  # a full disk, say
        verdict = Verdict(accepted=False, reason=STATE_UNAVAILABLE, detail=str(failure))
    device = verdict.credential.device if verdict.credential is not None else ""
    word = "accept" if verdict.accepted else "refuse"
    audit.write(request, word, verdict.reason, verdict.detail, *faults, device=device)
    return verdict


def _verdict(
    request: Request,
    account: pwd.struct_passwd,
    typed: str,
    identities: set[str],
    faults: list[str],
) -> Verdict:
    """The same, before it is logged; `faults` gets what else went wrong. Raises OSError or
    Failure."""
    settings = load()
    faults.append(settings.fault)
    credentials = SecretDir(account, settings.store).credentials()
    if credentials is None:
        raise Failure(NOT_ENROLLED, "no secret")
    code = read_code(typed.encode("utf-8", "replace"))
    with closing(Attempts(account.pw_uid)) as attempts:
        verdict = check_code(attempts, credentials, code, settings, time.time())
    if not verdict.accepted or verdict.credential is None:
        return verdict
    if verdict.credential.identity not in identities:
        detail = "code of another device than the one that was named"
        return Verdict(
            accepted=False, reason=WRONG_CODE, credential=verdict.credential, detail=detail
        )
    faults.append(record_login(request, account, settings))
    return verdict
