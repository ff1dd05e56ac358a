# SPDX-License-Identifier: MIT
"""What `pam-totp devices` and `pam-totp status` say of each device; never its secret."""

import os
from typing import Any

from pam_totp.records.user import attempts
from pam_totp.records.user.devices import Device
from pam_totp.rules.reasons import Failure


def describe(device: Device) -> dict[str, Any]:
    """A device without its secret. Times are Unix seconds. A token that counts has no period but a
    counter, and one whose clock is off says so."""
    credential = device.credential
    row: dict[str, Any] = {
        "device": device.name,
        "id": device.id,
        "account": credential.account,
        "type": device.kind,
        "algorithm": credential.algorithm,
        "digits": credential.digits,
        "period": credential.period,
        "since": device.since,
    }
    if credential.counter is not None:
        row |= {"period": None, "counter": credential.counter}
    if credential.offset:
        row["offset_seconds"] = credential.offset * credential.period
    return row


def is_known() -> bool:
    """Whether the caller can see when a code was used."""
    return os.geteuid() == 0


def last_used(devices: list[Device], uid: int) -> tuple[list[int | None], str]:
    """When a code of each device was accepted last (Unix seconds), and why that is not known. None
    if none was since the machine was started, or if the caller cannot see it."""
    unknown: list[int | None] = [None for _ in devices]
    if not is_known():
        return unknown, ""
    try:
        steps, _ = attempts.look(uid)
    except Failure as failure:
        return unknown, failure.detail
    found = [(steps.get(each.credential.identity), each.credential.period) for each in devices]
    return [step * period if step is not None else None for step, period in found], ""
