# SPDX-License-Identifier: MIT
"""Layouts of /etc/pam.d in which enable changes nothing: what to change there, and where."""

import os

from pam_totp.errors import Error
from pam_totp.setup.edits import CODE_LINE
from pam_totp.setup.host import PamHost
from pam_totp.setup.proof import Fault
from pam_totp.stack.service import Service

AUTHSELECT = "/etc/authselect/"


def not_known(host: PamHost, service: Service, path: str, line: int, fault: Fault) -> Error:
    """The error where no edit is proved to be right: what fails, and where the line would go."""
    said = fault.words
    managed = [each.path for each in service.files if is_managed(host, each.path)]
    if managed:
        name = os.path.basename(managed[0])
        message = f"{name} belongs to authselect, which is not changed behind its back: {said}"
        hint = (
            f"make a custom profile (authselect create-profile) in whose {name} a wrong password "
            f"ends the stack, then put '{CODE_LINE}' after line {line} of {path}"
        )
        return Error(message, hint)
    message = f"{service.name}: {said}; nothing was changed"
    hint = f"mend that, or put '{CODE_LINE}' after line {line} of {path} by hand"
    return Error(message, hint)


def is_managed(host: PamHost, path: str) -> bool:
    """Whether authselect writes this file."""
    place = host.root + path
    target = os.readlink(place) if os.path.islink(place) else ""
    return target.startswith(AUTHSELECT) or f"{AUTHSELECT}" in os.path.realpath(place)
