# SPDX-License-Identifier: MIT
"""Services that somebody named, and that are none."""

from pam_totp.errors import Error
from pam_totp.setup.host import PAM_DIR
from pam_totp.spelling import did_you_mean
from pam_totp.stack import services


def no_service(name: str) -> Error:
    """The error that names the service which may be meant."""
    near = did_you_mean(name, services.names())
    return Error(f"nothing was changed: there is no service {name!a}{near}", f"ls {PAM_DIR}")
