# SPDX-License-Identifier: MIT
"""Which users have a secret of another program, without looking at the secret."""

import os
import pwd
from collections.abc import Callable

from pam_totp.enrollment import given_file
from pam_totp.imports import google_authenticator, users_oath
from pam_totp.rules.reasons import Failure

USERS_FILE = "/etc/users.oath"  # pam_oath's default


def of_google(account: pwd.struct_passwd) -> bool:
    """Whether a user has the file of google-authenticator; one that cannot be read counts, because
    its module refuses the login, too."""
    name = google_authenticator.NAME
    try:
        return given_file.Home(account, name).read(name) is not None
    except Failure as failure:
        return not failure.detail.endswith("does not exist")


def of_oath(path: str) -> Callable[[pwd.struct_passwd], bool]:
    """What says whether this file of pam_oath's names a user; one that does not exist names nobody.
    Raises Error."""
    names = users_oath.names(given_file.read(path)) if os.path.exists(path) else set[str]()
    return lambda account: account.pw_name in names
