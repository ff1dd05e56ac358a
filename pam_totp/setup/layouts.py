# SPDX-License-Identifier: MIT
"""Layouts of /etc/pam.d in which enable changes nothing: what to change there, and where."""

import os

from pam_totp.errors import Error
from pam_totp.setup.fault import Fault
from pam_totp.setup.host import PamHost
from pam_totp.stack.control import lower
from pam_totp.stack.libpam import MODULE_UNKNOWN
from pam_totp.stack.lines import TYPES
from pam_totp.stack.service import Service

AUTHSELECT = "/etc/authselect/"
CONFIGURATION = f"{AUTHSELECT}authselect.conf"
# They end the stack once a password was right, and prove nothing themselves.
_AFTER_A_PASSWORD = ("pam_faillock.so", "pam_tally2.so")
_OTHERWISE = {"sshd": "pam-totp enable sshd --first-factor key"}


def refusing_faults(service: Service) -> list[str]:
    """What libpam cannot use, and refuses a login for; not a module that may be missing."""
    lines = [line for kind in TYPES for line in service.stacks[kind] if line.fault]
    found = [
        f"{line.file}, line {line.number} {line.fault}"
        for line in lines
        if line.always != MODULE_UNKNOWN or line.actions[MODULE_UNKNOWN] in ("bad", "die")
    ]
    return [service.refused] if service.refused else found


def not_known(host: PamHost, service: Service, where: str, fault: Fault) -> Error:
    """The error where no edit is proved to be right: what fails, and where the line would go, in
    words."""
    culprit = fault.culprit
    if culprit is not None and is_managed(host, culprit.file):
        name, profile = os.path.basename(culprit.file), _profile(host)
        message = (
            f"{service.name}: {fault.words}; {name} is managed by authselect"
            f"{f' (profile {profile})' if profile else ''}, so it was not changed; {where}"
        )
        hint = f"authselect create-profile pam-totp --base-on {(profile or 'sssd').split()[0]}"
        return Error(message, _OTHERWISE.get(service.name, hint))
    message = f"{service.name}: {fault.words}; nothing was changed; {where}"
    return Error(message, _remedy(fault) or f"pam-totp explain root --service {service.name}")


def is_managed(host: PamHost, path: str) -> bool:
    """Whether authselect writes this file."""
    place = host.root + path
    target = os.readlink(place) if os.path.islink(place) else ""
    return target.startswith(AUTHSELECT)


def _profile(host: PamHost) -> str:
    """The profile that is selected, with its features."""
    try:
        with open(host.root + CONFIGURATION, encoding="utf-8") as file:
            words = [line.strip() for line in file]
    except OSError:
        return ""
    return " ".join(word for word in words if word and word[0] != "#")


def _remedy(fault: Fault) -> str:
    """Another control for the line that is to blame."""
    line = fault.culprit
    if line is None or not line.number:
        return ""
    where = f"in {line.file}, line {line.number}, write"
    control = lower(line.control)
    if control == "required" and not fault.is_open:
        return f"{where} 'requisite' in place of 'required'"
    if control == "sufficient" and fault.is_open and line.module_name in _AFTER_A_PASSWORD:
        return f"{where} 'required' in place of 'sufficient'"
    return ""
