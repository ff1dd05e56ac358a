# SPDX-License-Identifier: MIT
"""Which device a person means, and what a device may be called.

- Two devices MUST NOT have the same name, whatever its case: a log line names one of them.
- A secret MUST NOT stay under another name when its device is removed or replaced.
"""

import argparse
import re
import unicodedata
from collections.abc import Sequence

from pam_totp.errors import Error
from pam_totp.records.storage.secret_dir import MAX_BYTES, SecretDir
from pam_totp.records.user import secret
from pam_totp.records.user.devices import ID_DIGITS, Device
from pam_totp.rules.credential import MAX_CREDENTIALS, Malformed, parse_file, parse_line
from pam_totp.spelling import did_you_mean

LIST = "pam-totp devices"
MAX_LINE_BYTES = 1024  # names of 64 characters, percent-encoded, and the rest


def new_name(text: str) -> str:
    """A name for a device; argparse's type."""
    if not text.strip() or not text.isprintable() or len(text) > 64:
        raise argparse.ArgumentTypeError("must be 1 to 64 printable characters")
    try:
        read = parse_line(f"otpauth://totp/?secret={'A' * 32}&issuer=x {text}").device
    except Malformed:
        read = ""
    if read != text.strip():
        raise argparse.ArgumentTypeError("must not look like a part of a URI")
    if is_id(read):
        raise argparse.ArgumentTypeError(f"must not look like an id ({ID_DIGITS} hex digits)")
    return read


def name_or_id(text: str) -> str:
    """A name for a device, or the id of one; argparse's type."""
    return text.lower() if is_id(text) else new_name(text)


def is_id(text: str) -> bool:
    """Whether it looks like what `pam-totp devices` has in the column ID."""
    return bool(re.fullmatch(rf"[0-9A-Fa-f]{{{ID_DIGITS}}}", text))


def is_same(name: str, other: str) -> bool:
    """Whether people take two names for one: case, and how an accent is encoded, do not count."""
    return _folded(name) == _folded(other)


def free_name(names: Sequence[str], wanted: str) -> str:
    """The name that is wanted, or the first of NAME-2, NAME-3 … that no device has."""
    name, number = wanted, 1
    while any(is_same(each, name) for each in names):
        number += 1
        name = f"{wanted}-{number}"
    return name


def find(devices: Sequence[Device], word: str) -> list[Device]:
    """The lines of the device with this name or id; none if there is none. Raises Error if several
    devices are meant."""
    named = [each for each in devices if each.name and is_same(each.name, word)]
    found = [each for each in devices if each in named or each.id == word.lower()]
    ids = list(dict.fromkeys(each.id for each in found))
    if len(ids) > 1:
        message = f"{word!r} may be several devices, with the ids {', '.join(ids)}"
        raise Error(message, "give the id in place of the name")
    return found


def find_to_end(devices: Sequence[Device], word: str) -> list[Device]:
    """As `find`, for a device whose secret must not be accepted any more."""
    found = find(devices, word)
    ids = {each.id for each in found}
    others = [each for each in devices if each.id in ids and each not in found]
    if others:
        message = f"the secret of {word!r} is also that of {called(others[0])}"
        raise Error(f"{message}; nothing was changed", f"give its id, {found[0].id}, for both")
    return found


def to_replace(
    user: str, devices: list[Device], word: str | None, hint: str = LIST
) -> list[Device]:
    """The lines of the device that gets a new secret, without a word of the only one; none if it is
    a new device. Raises Error; `hint`: what lists the devices."""
    if word is None:
        if count(devices) > 1:
            message = f"{user} has several devices: {listed(devices)}"
            raise Error(message, "name one of them with --device NAME; a new name adds a device")
        return devices
    found = find_to_end(devices, word)
    if not found and is_id(word):
        raise absent(devices, word, hint)
    return found


def absent(devices: Sequence[Device], word: str, hint: str = LIST) -> Error:
    """The error that names the device that may be meant, if one may."""
    return Error(f"there is no device {word!r}{similar(devices, word)}", hint)


def similar(devices: Sequence[Device], word: str) -> str:
    """What a misspelt name may stand for, as the end of a sentence."""
    return did_you_mean(word, (each.name for each in devices if each.name))


def called(device: Device) -> str:
    """A device in a sentence."""
    return repr(device.name) if device.name else f"the device with the id {device.id}"


def listed(devices: Sequence[Device]) -> str:
    """Several devices in a sentence, each secret once."""
    each_once = {device.id: device for device in reversed(devices)}.values()
    return ", ".join(device.name or device.id for device in reversed(list(each_once)))


def count(devices: Sequence[Device]) -> int:
    """How many there are; lines with one secret are one device."""
    return len({device.credential.identity for device in devices})


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def refuse_too_many(
    secret_dir: SecretDir, content: bytes, listing: str, *, is_addition: bool
) -> None:
    """A login would not read more; said before anybody types or scans anything."""
    if is_addition and len(parse_file(content)[0]) >= MAX_CREDENTIALS:
        raise Error(f"{MAX_CREDENTIALS} devices are enrolled", listing)
    if len(content) + MAX_LINE_BYTES > MAX_BYTES:
        message = "the secret file has no room for one more device"
        raise Error(message, f"remove comments: edit {secret_dir.path}/{secret.NAME}")
