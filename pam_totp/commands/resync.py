# SPDX-License-Identifier: MIT
"""`pam-totp resync`: a token's counter, or how far its clock is off, found by two codes in a row.

- It is an explicit act of the owner or root's: a login MUST NOT learn either from guesses.
"""

import argparse
import os
from contextlib import closing

from pam_totp.enrollment import devices, used_codes
from pam_totp.enrollment.change_devices import Opened
from pam_totp.enrollment.terminal import describe_seconds
from pam_totp.enrollment.two_codes import find_counter, find_offset
from pam_totp.errors import Error, again, command
from pam_totp.records.user import counters
from pam_totp.records.user.attempts import Attempts
from pam_totp.records.user.devices import OFFSET, RESYNCED, Device, with_numbers
from pam_totp.rules.reasons import Failure
from pam_totp.rules.tokens import expected

HELP = "find the counter or the clock of a hardware token again"
COUNTER = "counter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp resync`."""
    parser.add_argument("name", metavar="DEVICE", nargs="?", help="its name or id")
    parser.add_argument("--user", metavar="USER", help="root only: a device of this user")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Asks for two codes and saves where the token is. Raises Error: then nothing was changed."""
    opened = Opened(options)
    found = _find(opened, options)
    device = found[0]
    opened.permit()
    steps, accepted = _used(opened)
    if device.credential.counter is not None:
        start = expected(device.credential, accepted or {})
        counter = find_counter(device.credential, start, is_known=accepted is not None)
        numbers, last = {COUNTER: counter + 1}, counter
        text = f"the counter of {devices.called(device)} is now {counter + 1}"
    else:
        used_step = (steps or {}).get(device.credential.identity, -1)
        offset, last = find_offset(device, used_step)
        numbers = {OFFSET: offset, RESYNCED: last}
        text = f"the clock of {devices.called(device)} {_apart(offset * device.credential.period)}"
    content = with_numbers(opened.content, found, numbers)
    if content is None:
        path = f"{opened.secret_dir.path}/secret"
        raise Error("the line of the device cannot be changed; nothing was changed", f"edit {path}")
    opened.save(content, "resync-device")
    if accepted is not None:
        used_codes.record(opened.account.pw_uid, device.credential, last)
    text = f"Saved: {text}."
    if accepted is None and COUNTER in numbers:
        text += "\nIf root has recorded later codes as used, logins go by that record."
    return opened.tell(device.name, device, text, options.json)


def _find(opened: Opened, options: argparse.Namespace) -> list[Device]:
    """The lines of the device that is meant: without a name the only token, or the only device."""
    word: str | None = options.name
    if word is not None:
        found = devices.find(opened.devices, word)
        if not found:
            opened.refuse_unless_absent(word)
            raise devices.absent(opened.devices, word, opened.listing)
        return found
    tokens = [each for each in opened.devices if each.credential.counter is not None]
    found = tokens or opened.devices
    if not found:
        enroll = command("enroll --token", user=options.user)
        raise Error(f"{opened.account.pw_name} has no device", enroll)
    if devices.count(found) > 1:
        message = f"{opened.account.pw_name} has several devices: {devices.listed(found)}"
        raise Error(message, f"name one of them: {again()} NAME")
    return found


def _used(opened: Opened) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """The time steps and the counters that were used last; None where only root could know them.
    Raises Error."""
    if os.geteuid() != 0:
        return None, None
    uid = opened.account.pw_uid
    try:
        with closing(Attempts(uid)) as attempts:
            return attempts.steps, counters.read(uid)
    except Failure as failure:
        fault, _, hint = failure.detail.partition("; run: ")
        raise Error(f"{fault}; nothing was changed", hint or "pam-totp doctor") from None


def _apart(seconds: int) -> str:
    if not seconds:
        return "agrees with this machine's"
    direction = "ahead of" if seconds > 0 else "behind"
    return f"is now known to be {describe_seconds(abs(seconds))} {direction} this machine's"
