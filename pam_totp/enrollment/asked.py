# SPDX-License-Identifier: MIT
"""What a command does first that changes whether a user is asked for a code, or what is said before
it: from there on no gate goes by the mark that a login left (pam_totp.records.user.certain)."""

import os
import pwd
import stat
from errno import ENAMETOOLONG, ENOENT

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage.state_dir import RUN, Unsynced
from pam_totp.records.user import certain
from pam_totp.rules.reasons import Failure


def forget_mark(account: pwd.struct_passwd) -> None:
    """Takes the mark away. Raises Error: then nothing was changed."""
    folder = f"{RUN.path}/{certain.KIND}"
    path = f"{folder}/{account.pw_name}"
    try:
        certain.forget(account)
        return
    except Unsynced:
        return  # it need not outlive this boot
    except Failure as failure:
        fault, hint = repair.split(failure.detail, folder)
    except OSError as failure:
        if not _may_be_a_mark(path):
            return  # a read-only disk says so of what is not there, too
        fault, hint = repair.split(f"{path}: {failure.strerror or failure}", folder)
    raise Error(f"{fault}; nothing was changed", hint)


def _may_be_a_mark(path: str) -> bool:
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError as failure:
        return failure.errno not in (ENOENT, ENAMETOOLONG)
