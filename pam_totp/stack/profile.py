# SPDX-License-Identifier: MIT
"""The profile for pam-auth-update: one line in Debian's common-auth, and so in every service that
includes it. It asks after a password only: sshd does not ask PAM after a key alone."""

from collections.abc import Sequence

from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service
from pam_totp.stack.totp_lines import MODULE

# Where pam-auth-update puts the lines of all profiles, and which ones it has put there.
COMMON_AUTH, PROFILES = "/etc/pam.d/common-auth", "/var/lib/pam/auth"
OFF = "pam-auth-update --disable pam-totp"
AFTER_PASSWORDS = "pam-totp enable sshd --first-factor password"
# Another profile, of libpam-fprintd: a finger in place of the password.
FINGER, FINGER_OFF = "pam_fprintd.so", "pam-auth-update --disable fprintd"


def is_of_profile(line: Line) -> bool:
    """Whether pam-auth-update added this pam_totp.so line."""
    return line.module_name == MODULE and line.file == COMMON_AUTH and _is_on(MODULE)


def asks_by_profile(service: Service) -> bool:
    """Whether the only pam_totp.so lines of a service are those of the profile."""
    ours = [line for line in service.stacks["auth"] if line.module_name == MODULE]
    return bool(ours) and all(map(is_of_profile, ours))


def finger_is_a_password(lines: Sequence[Line]) -> bool:
    """Whether pam-auth-update has put a fingerprint in place of the password, in these lines."""
    there = [line for line in lines if (line.module_name, line.file) == (FINGER, COMMON_AUTH)]
    return bool(there) and _is_on(FINGER)


def _is_on(module: str) -> bool:
    try:
        with open(PROFILES, "rb") as file:
            return module.encode() in file.read()
    except OSError:
        return False
