# SPDX-License-Identifier: MIT
"""Whether sshd uses the settings that were written."""

from collections.abc import Mapping

from pam_totp.errors import Error
from pam_totp.setup.judge_classes import SOMEBODY
from pam_totp.setup.sshd_settings import PATH
from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown


def check_active(expected: Mapping[str, str]) -> None:
    """By `sshd -T`, once they are in place: all is as it was of the copy. Raises Error."""
    try:
        active = sshd.settings_of(SOMEBODY)
    except Unknown as unknown:
        raise Error(str(unknown), f"{sshd.SSHD} -t") from None
    for keyword, value in expected.items():
        if active.get(keyword) != value:
            message = f"sshd does not use {PATH}: {keyword} is {active.get(keyword)}, not {value}"
            raise Error(message, f"{sshd.SSHD} -T | grep {keyword}")
