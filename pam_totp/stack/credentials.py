# SPDX-License-Identifier: MIT
"""What a module returns to pam_setcred in a handle in which pam_authenticate was not called.

sshd authenticates in one process and sets credentials in another. There each line acts on what its
module returns to pam_setcred: a stack that accepts every user can refuse every login there.
"""

import re
from collections.abc import Mapping

from pam_totp.stack.factors import Factor
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, RETURN_VALUES, SUCCESS
from pam_totp.stack.lines import Line

AUTHINFO_UNAVAIL, USER_UNKNOWN, CRED_ERR = 9, 10, 17


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# By the sources of Linux-PAM 1.5.2 to 1.7.1, sssd 2.8 and 2.10, nss-pam-ldapd 0.9.12, pam-u2f 1.1,
# google-authenticator 20191231, ecryptfs 111 and gnome-keyring 42.
_SUCCEED = _names(
    "ecryptfs faillock gnome_keyring google_authenticator lastlog ldap listfile localuser permit"
    " rhosts rootok securetty selinux shells tally2 timestamp totp u2f unix userdb wheel"
)
_IGNORE = _names(
    "access canonicalize_user echo exec faildelay ftp issue sepermit succeed_if usertype warn"
)
# It asks SSSD, which knows its own users alone.
_ASK_SSSD = _names("sss")
_SUCCEED_OR_IGNORE = _names("cap env mail nologin")
_NAME = re.compile(r"pam_(\w+)\.so")


def credential_meanings(line: Line) -> Mapping[int, Factor | None]:
    """The values that a line can return: Meanings of search.py. A module that is not in these
    tables may return anything."""
    found = _NAME.fullmatch(line.module_name)
    name = found[1] if found else ""
    if name == "totp" and "publickey_passed" in line.arguments:
        return {SUCCESS: None, AUTH_ERR: None}
    if name == "deny":
        return {CRED_ERR: None}
    if name in _SUCCEED:
        return {SUCCESS: None}
    if name in _ASK_SSSD:
        return dict.fromkeys((SUCCESS, AUTHINFO_UNAVAIL, USER_UNKNOWN))
    if name in _IGNORE:
        return {IGNORE: None}
    if name in _SUCCEED_OR_IGNORE:
        return {SUCCESS: None, IGNORE: None}
    return dict.fromkeys(range(len(RETURN_VALUES)))
