# SPDX-License-Identifier: MIT
"""What is in the home of one user, as `pam-totp status` and `explain` have it.

- A home that never answers MUST NOT keep root waiting (pam_totp.review.in_time).
"""

import os
import pwd
from collections.abc import Callable
from typing import Any

from pam_totp.records.config.settings import Settings
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import Device, devices_of
from pam_totp.review import secret_file
from pam_totp.review.device_rows import describe
from pam_totp.review.in_place_of_codes import InPlaceOfCodes
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.review.login_outcome import describe as describe_login
from pam_totp.review.looking import silent_home
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import Request

Found = dict[str, Any]


def secret_of(secret_dir: SecretDir, fault_of: Callable[[SecretDir], str]) -> Found:
    """What there is of the secret and of recovery codes, and `faults`; fault_of: another one."""
    return _in_time(secret_dir.account, lambda: _look(secret_dir, fault_of))


def in_place_of_codes(account: pwd.struct_passwd, faults: list[str]) -> Found:
    """What the user has in place of codes; adds to the faults."""
    services = InPlaceOfCodes()
    found = _in_time(account, lambda: {"in_place_of_codes": services.of(account), "faults": []})
    faults += [each for each in found["faults"] if each not in faults]
    return {"in_place_of_codes": found.get("in_place_of_codes", [])}


def login(request: Request, active: Settings) -> Found | None:
    """What becomes of a login (pam_totp.review.login_outcome); None where the home never answers.
    Raises Failure."""

    def look(_: str) -> Found:
        try:
            return describe_login(request, active)
        except Failure as failure:
            return {"failure": (failure.reason, failure.detail)}

    ((_, found),) = each_in_time([request.user], look)
    if found is NO_ANSWER:
        return None
    if "failure" in found:
        raise Failure(*found["failure"])
    return dict(found)


def _in_time(account: pwd.struct_passwd, look: Callable[[], Found]) -> Found:
    """What a look says, or the fault that the home never answers."""
    ((_, found),) = each_in_time([account], lambda _: look())
    silent = {"faults": [silent_home(account)]}
    return silent if found is NO_ANSWER else found


def _look(secret_dir: SecretDir, fault_of: Callable[[SecretDir], str]) -> Found:
    path = f"{secret_dir.path}/{secret.NAME}"
    devices: list[Device] = []
    faults: list[str] = []
    enrolled = made = None
    try:
        content = secret_dir.read(secret.NAME)
        enrolled, _, faults = secret_file.judge(content, path)
        devices = devices_of(content)
    except Failure as failure:
        faults = [failure.detail]
    try:
        codes = recovery.read(secret_dir)
        made = len(codes[1]) if codes else 0
    except Failure as failure:
        faults += [failure.detail] if failure.detail not in faults else []
    faults += filter(None, [fault_of(secret_dir)])
    return {
        "enrolled": enrolled,
        "since": _changed_at(path) if enrolled else None,
        "devices": [describe(device) for device in devices],
        "recovery_codes_made": made,
        "faults": faults,
    }


def _changed_at(path: str) -> int | None:
    try:
        return int(os.stat(path).st_mtime)
    except OSError:
        return None
