# SPDX-License-Identifier: MIT
"""What is to come before the code at sshd, where nobody chose it."""

from pam_totp.errors import Error
from pam_totp.setup.judge_classes import classes_in
from pam_totp.setup.judge_sshd import KEY, PASSWORD, first_of, judge_uid
from pam_totp.setup.plan_sshd import without_ours
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY
from pam_totp.setup.sshd_copy import Copy
from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown


def usual_first_factor() -> str:
    """What is to come before the code: what sshd accepts today from anybody. Raises Error."""
    try:
        with Copy(without_ours()) as copy:
            found = [(copy.settings_of(each.example), judge_uid(each)) for each in classes_in(copy)]
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", f"{sshd.SSHD} -t") from None
    accepted = {first_of(way) for was, uid in found for way in sshd.ways(was, uid)}
    if KEY in accepted and PASSWORD not in accepted:
        return KEY_ONLY
    return PASSWORD_ONLY if PASSWORD in accepted and KEY not in accepted else KEY_OR_PASSWORD
