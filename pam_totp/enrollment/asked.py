# SPDX-License-Identifier: MIT
"""What a command does first that changes whether a user is asked for a code, or what is said before
it: from there on no gate goes by the mark that a login left (pam_totp.records.user.certain)."""

import pwd
from errno import EISDIR, ENAMETOOLONG

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage.state_dir import RUN, Unsynced
from pam_totp.records.user import certain
from pam_totp.rules.reasons import Failure


def forget_mark(account: pwd.struct_passwd) -> None:
    """Takes the mark away. Raises Error: then nothing was changed."""
    folder = f"{RUN.path}/{certain.KIND}"
    try:
        certain.forget(account)
        return
    except Unsynced:
        return  # it need not outlive this boot
    except Failure as failure:
        fault, hint = repair.split(failure.detail, folder)
    except OSError as failure:
        if failure.errno in (EISDIR, ENAMETOOLONG):
            return  # a name that no mark can have
        reason = failure.strerror or str(failure)
        fault, hint = repair.split(f"{folder}/{account.pw_name}: {reason}", folder)
    raise Error(f"{fault}; nothing was changed", hint)
